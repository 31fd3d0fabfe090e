//! Scenarios beside a target's capabilities: what would run, and what cannot and why.

use std::collections::BTreeSet;

use crate::capability::Capability;
use crate::scenario::{Scenario, WebhookState};

/// A scenario with its identity.
#[derive(Debug, Clone)]
pub struct Case {
    /// Folder and stem of the file: `quickstart/article`.
    pub id: String,
    /// The file, relative to the folder that reports are read from.
    pub file: String,
    /// What it says.
    pub scenario: Scenario,
    /// The defect that this run of it is under.
    pub sabotage: Option<String>,
}

impl Case {
    /// Whether it changes the cluster for everybody, so that nothing may run beside it on the same cluster.
    pub fn alone(&self) -> bool {
        self.scenario.given.webhook != WebhookState::Installed
    }

    /// The first part of the id.
    pub fn area(&self) -> &str {
        self.id.split('/').next().unwrap_or(&self.id)
    }

    /// Everything that it needs: what the file says and what its words imply.
    pub fn needs(&self) -> BTreeSet<Capability> {
        let scenario = &self.scenario;
        let mut needs: BTreeSet<Capability> = scenario.needs.iter().map(|need| need.value).collect();
        if self.alone() {
            needs.insert(Capability::WebhookControl);
        }
        let azure = &scenario.given.azure;
        if !(azure.identities.is_empty() && azure.service_principals.is_empty() && azure.vaults.is_empty()) {
            needs.insert(Capability::Azure);
        }
        use crate::scenario::Expectation;
        for expectation in &scenario.then {
            match &expectation.value {
                Expectation::Admission(_) | Expectation::Pod(_) => {}
                Expectation::Token(_) | Expectation::Log(_) => _ = needs.insert(Capability::RunsPods),
                Expectation::Exchange(_) | Expectation::SecretRead(_) => {
                    needs.extend([Capability::RunsPods, Capability::IssuerReachable, Capability::Azure]);
                }
            }
        }
        needs
    }
}

/// What is done with a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It runs.
    Runs,
    /// The target cannot show it.
    NotApplicable {
        /// What the target lacks.
        missing: Vec<Capability>,
    },
}

/// Decides for one case. Needs are learned before anything is touched.
pub fn decide(case: &Case, capabilities: &BTreeSet<Capability>) -> Decision {
    let missing: Vec<Capability> = case.needs().difference(capabilities).copied().collect();
    if missing.is_empty() { Decision::Runs } else { Decision::NotApplicable { missing } }
}

/// Whether a case is selected: its id holds one of the filters, or is one of them when `exact`. No filter selects all.
pub fn selected(id: &str, filters: &[String], exact: bool) -> bool {
    filters.is_empty() || filters.iter().any(|filter| if exact { id == filter } else { id.contains(filter.as_str()) })
}
