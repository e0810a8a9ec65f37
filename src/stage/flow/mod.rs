//! Steps that decide which rows there are, how many, and in which order subjects are read.

pub mod balance;
pub mod filter;
pub mod repeat;
