//! Nothing: see `tests/cluster.rs`.
