//! `simulate`
fn main() {}
