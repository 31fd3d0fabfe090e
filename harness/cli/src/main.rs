//! The `wi-conformance` program.
fn main() {}
