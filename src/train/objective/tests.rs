mod consistency;
mod gradient;
mod pseudo;
mod reference;
mod schedule;
