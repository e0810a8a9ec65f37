mod consistency;
mod gradient;
mod pseudo;
mod schedule;
