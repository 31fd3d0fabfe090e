//! This project's own conformance suite: `cargo test` runs each scenario as a test.

use wi_conformance::{Conformance, Program};

fn main() -> std::process::ExitCode {
    Conformance::new("scenarios")
        .image("example/reader", Program::new(env!("CARGO_BIN_EXE_reader")))
        .evidence(env!("CARGO_TARGET_TMPDIR"))
        .with_saboteurs()
        .main()
}
