//! JUnit readers.

fn main() {}
