//! Integration tests.

mod contract;
