//! Every mutant by name, the part that carries it, and the hops at which it shows.

use wi_model::mutant::Mutants;
use wi_model::verdict::Hop;

/// Every mutant that a scenario may name, with a sentence.
pub fn all() -> Vec<(String, String)> {
    let of = |part: &'static str, breaks: &'static [(&'static str, &'static str)]| {
        breaks.iter().map(move |(name, sentence)| (format!("{part}/{name}"), (*sentence).to_owned()))
    };
    let injected = of("webhook", wi_reference_webhook::BREAKS).chain(of("proxy", wi_reference_proxy::BREAKS));
    let rest = wi_embedded_cluster::DEFECTS
        .iter()
        .chain(wi_process_node::DEFECTS)
        .chain(wi_azure_emulator::DEFECTS)
        .chain(wi_model::sabotage::SETUP_DEFECTS);
    injected.chain(rest.map(|(name, sentence)| ((*name).to_owned(), (*sentence).to_owned()))).collect()
}

/// The hops at which a scenario may fail because of a mutant. A failure at another hop has another reason.
pub fn hops(mutant: &str) -> &'static [Hop] {
    let declared = SHOWS.iter().find(|(names, _)| names.contains(&mutant)).map(|(_, hops)| *hops);
    declared.unwrap_or_else(|| match mutant.split_once('/').map_or("", |(part, _)| part) {
        "webhook" | "admission" => &[Hop::Admission],
        "issuer" | "tokens" => &[Hop::Token],
        "entra" | "proxy" => &[Hop::Exchange],
        "vault" => &[Hop::Secret],
        "node" => &[Hop::Pod, Hop::Token],
        "arm" => &[Hop::SetUp],
        // A mutant of the set-up says itself where it shows.
        _ => &[],
    })
}

/// The mutants of the set-up, and those that show elsewhere than where the part that carries them stands. Several hops are
/// named where scenarios look at different ones: a wrong client id is seen in the pod, and in what its program is answered.
pub const SHOWS: &[(&[&str], &[Hop])] = &[
    (
        &[
            "setup/forgets-pod-label",
            "setup/adds-pod-label",
            "setup/keeps-webhook",
            "setup/forgets-account-annotations",
            "setup/widens-rights",
            "setup/asks-for-proxy",
            "setup/creates-accounts",
            "setup/forgets-policy",
            "setup/forgets-namespace-labels",
            "setup/skips-patch",
            "setup/skips-delete",
            "setup/skips-webhook",
            "tokens/ignores-automount",
        ],
        &[Hop::Admission],
    ),
    (
        &["setup/forgets-federated-credential", "setup/trusts-this-pod", "setup/asks-in-order", "setup/skips-trust"],
        &[Hop::Exchange],
    ),
    (
        &[
            "setup/forgets-access-policy",
            "setup/grants-every-principal",
            "setup/stores-a-credential",
            "setup/reads-everything",
            "setup/swaps-access-model",
            "setup/skips-secret",
            "setup/skips-grant",
            "setup/stores-another-secret",
            // It is acknowledged, and shows when a program asks the vault.
            "arm/policies-by-default",
        ],
        &[Hop::Secret],
    ),
    (
        &[
            "setup/forgets-client-id",
            "setup/adds-client-id",
            "setup/forgets-skip-annotation",
            "setup/misleads-container",
            "webhook/wrong-client-id",
            "webhook/needs-automount",
        ],
        &[Hop::Admission, Hop::Exchange],
    ),
    // A pod without its proxy has nobody to ask, and says so when it runs.
    (&["setup/forgets-pod-annotations", "webhook/ignores-proxy-annotation"], &[Hop::Admission, Hop::Pod]),
    // Settings with which the webhook must not start are judged before there is a pod.
    (&["setup/forgets-settings"], &[Hop::SetUp, Hop::Admission]),
    (&["setup/skips-fault"], &[Hop::Exchange, Hop::Secret]),
    (&["setup/skips-issuer", "issuer/unpublished-key"], &[Hop::Token, Hop::Exchange]),
    (&["setup/skips-time"], &[Hop::Admission, Hop::Token, Hop::Exchange]),
    // What did not go through a proxy is in none of its lines.
    (&["setup/forgets-proxy-variables"], &[Hop::Pod]),
    // Somebody answers where nobody should.
    (&["node/answers-metadata"], &[Hop::Exchange]),
    // A pod that is given no token does not start.
    (&["tokens/needs-automount"], &[Hop::Pod]),
];

/// What a target is started with for one mutant; those of the set-up are not the target's.
pub fn only(name: &str) -> Mutants {
    let one = |name: &str| std::iter::once(name.to_owned()).collect();
    let among = |known: &[(&str, &str)]| known.iter().any(|(known, _)| *known == name);
    let mut mutants = Mutants::default();
    if let Some(name) = name.strip_prefix("webhook/") {
        mutants.webhook = one(name);
    } else if let Some(name) = name.strip_prefix("proxy/") {
        mutants.proxy = one(name);
    } else if among(wi_embedded_cluster::DEFECTS) {
        mutants.cluster = one(name);
    } else if among(wi_process_node::DEFECTS) {
        mutants.node = one(name);
    } else if among(wi_azure_emulator::DEFECTS) {
        mutants.azure = one(name);
    }
    mutants
}
