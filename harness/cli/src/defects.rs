//! Saboteurs: named defects, and which part carries each.

use std::collections::BTreeSet;

/// Every defect that a scenario may name, with a sentence.
pub(crate) fn all() -> Vec<(String, String)> {
    let of = |part: &'static str, breaks: &'static [(&'static str, &'static str)]| {
        breaks.iter().map(move |(name, sentence)| (format!("{part}/{name}"), (*sentence).to_owned()))
    };
    let injected = of("webhook", wi_reference_webhook::BREAKS).chain(of("proxy", wi_reference_proxy::BREAKS));
    let rest =
        wi_embedded_cluster::DEFECTS.iter().chain(wi_azure_emulator::DEFECTS).chain(wi_model::sabotage::SETUP_DEFECTS);
    injected.chain(rest.map(|(name, sentence)| ((*name).to_owned(), (*sentence).to_owned()))).collect()
}

/// The defects that an environment is started with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defects(BTreeSet<String>);

impl Defects {
    /// One defect; those of the set-up are not the environment's.
    pub(crate) fn one(name: &str) -> Self {
        Defects([name.to_owned()].into())
    }

    pub(crate) fn webhook(&self) -> BTreeSet<String> {
        self.of("webhook/")
    }

    pub(crate) fn proxy(&self) -> BTreeSet<String> {
        self.of("proxy/")
    }

    pub(crate) fn cluster(&self) -> BTreeSet<String> {
        self.among(wi_embedded_cluster::DEFECTS)
    }

    pub(crate) fn azure(&self) -> BTreeSet<String> {
        self.among(wi_azure_emulator::DEFECTS)
    }

    fn of(&self, part: &str) -> BTreeSet<String> {
        self.0.iter().filter_map(|name| name.strip_prefix(part)).map(str::to_owned).collect()
    }

    fn among(&self, known: &[(&str, &str)]) -> BTreeSet<String> {
        self.0.iter().filter(|name| known.iter().any(|(k, _)| *k == name.as_str())).cloned().collect()
    }
}
