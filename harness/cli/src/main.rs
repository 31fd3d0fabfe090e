//! The `wi-conformance` program.

fn main() -> std::process::ExitCode {
    wi_conformance::main()
}
