//! Mutants: parts of the harness that are built wrong on purpose, each with the part that carries it.

use std::collections::BTreeSet;

/// The mutants that a target is started with, by the part that carries them.
#[derive(Debug, Clone, Default)]
pub struct Mutants {
    /// Of the webhook, without the part's name.
    pub webhook: BTreeSet<String>,
    /// Of the proxy, without the part's name.
    pub proxy: BTreeSet<String>,
    /// Of the Kubernetes API.
    pub cluster: BTreeSet<String>,
    /// Of the node.
    pub node: BTreeSet<String>,
    /// Of Azure.
    pub azure: BTreeSet<String>,
}
