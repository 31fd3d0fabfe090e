//! The whole suite judges a webhook that is a program of its own, as a user's is: our reference webhook, under the user, the
//! rights, the probes and the read-only root of the upstream release.

fn main() -> std::process::ExitCode {
    wi_conformance::Conformance::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios"))
        .webhook(wi_conformance::Webhook::exec(env!("CARGO_BIN_EXE_wi-reference-webhook")))
        .evidence(concat!(env!("CARGO_TARGET_TMPDIR"), "/exec-webhook"))
        .main()
}
