//! What a judgement says.

use serde::{Deserialize, Serialize};

/// The hops from a pod's creation to the secret, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hop {
    /// Setting the case up.
    SetUp,
    /// The API server and its webhooks.
    Admission,
    /// The pod's start on its node.
    Pod,
    /// The projected token.
    Token,
    /// The exchange at the identity provider.
    Exchange,
    /// The read from the vault.
    Secret,
}

impl Hop {
    /// The word used in reports.
    pub fn word(self) -> &'static str {
        match self {
            Hop::SetUp => "set-up",
            Hop::Admission => "admission",
            Hop::Pod => "pod",
            Hop::Token => "token",
            Hop::Exchange => "exchange",
            Hop::Secret => "secret",
        }
    }
}

impl std::fmt::Display for Hop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// An expectation beside the evidence so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It holds.
    Met,
    /// It holds by all that has been said; somebody who has said nothing yet may still say otherwise.
    SoFar(Difference),
    /// It does not hold yet; looking again may help.
    NotYet(Difference),
    /// It does not hold, and no later look can change that.
    Broken(Difference),
}

/// Expected beside observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The hop that broke.
    pub hop: Hop,
    /// What was expected.
    pub expected: String,
    /// What was observed.
    pub observed: String,
    /// Of a field-by-field comparison every single change, of which `observed` tells the first.
    pub changes: Vec<String>,
    /// What to do about it, where that is known.
    pub advice: Option<String>,
}

impl Difference {
    /// A difference at a hop.
    pub fn at(hop: Hop, expected: impl Into<String>, observed: impl Into<String>) -> Self {
        Difference { hop, expected: expected.into(), observed: observed.into(), changes: Vec::new(), advice: None }
    }

    /// With every single change of a field-by-field comparison.
    #[must_use]
    pub fn with_changes(mut self, changes: Vec<String>) -> Self {
        self.changes = changes;
        self
    }

    /// With a word on what to do.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}
