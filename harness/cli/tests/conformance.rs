//! Every scenario is a trial, and so is every scenario under each of its mutants.

fn main() -> std::process::ExitCode {
    wi_conformance::Conformance::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios"))
        .evidence(concat!(env!("CARGO_TARGET_TMPDIR"), "/conformance"))
        .with_saboteurs()
        .strict()
        .main()
}
