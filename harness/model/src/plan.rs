//! Scenarios beside a target's capabilities: what would run, and what cannot and why.

mod foresight;

use std::collections::BTreeSet;

pub use foresight::{Kinds, Offer, foresee};

use crate::capability::Capability;
use crate::located::Text;
use crate::named;
use crate::parse;
use crate::scenario::expectation::Subject;
use crate::scenario::{ClusterState, Expectation, FaultPlace, MetadataOutcome, Scenario, Step, WebhookState};
use crate::texts::Texts as _;

/// A scenario with its identity.
#[derive(Debug, Clone)]
pub struct Case {
    /// Folder and stem of the file: `quickstart/article`.
    pub id: String,
    /// The file, relative to the folder that reports are read from.
    pub file: String,
    /// What it says.
    pub scenario: Scenario,
    /// The mutant that this run of it is under.
    pub sabotage: Option<String>,
    /// The variations from the file, in words.
    pub variation: Vec<String>,
}

impl Case {
    /// Whether nothing may run beside it: it changes the cluster for everybody, or takes names and ids in Azure that another case
    /// may take too.
    pub fn alone(&self) -> bool {
        let given = &self.scenario.given;
        given.webhook != WebhookState::Installed
            || !given.webhook_settings.is_empty()
            || given.webhook_refuses.is_some()
            || given.issuer.is_some()
            || given.azure.chooses_names()
            || given.kubernetes.is_some()
            || self.scenario.when.iter().any(|step| match &step.value {
                Step::Break(fault) => fault.place(&given.azure).is_none_or(|place| !place.is_own()),
                step => matches!(
                    step,
                    Step::AdvanceTime(_)
                        | Step::AdvanceClusterTime(_)
                        | Step::SetWebhook(_)
                        | Step::SetIssuer(_)
                        | Step::SetApiServer(_)
                ),
            })
    }

    /// The first part of the id.
    pub fn area(&self) -> &str {
        self.id.split('/').next().unwrap_or(&self.id)
    }

    /// Everything that it needs: what the file says and what its words imply.
    pub fn needs(&self) -> BTreeSet<Capability> {
        let scenario = &self.scenario;
        let mut needs: BTreeSet<Capability> = scenario.needs.iter().map(|need| need.value).collect();
        let given = &scenario.given;
        if given.webhook != WebhookState::Installed {
            needs.insert(Capability::WebhookControl);
        }
        if given.webhook == WebhookState::Untrusted {
            needs.insert(Capability::WebhookCa);
        }
        if !given.webhook_settings.is_empty() || given.webhook_refuses.is_some() {
            needs.insert(Capability::WebhookSettings);
        }
        if given.issuer.is_some() {
            needs.insert(Capability::ChosenIssuer);
        }
        if given.kubernetes.is_some() {
            needs.insert(Capability::KubernetesVersion);
        }
        let azure = &given.azure;
        if azure.chooses_ids() {
            needs.insert(Capability::ChosenIds);
        }
        if !(azure.identities.is_empty() && azure.service_principals.is_empty() && azure.vaults.is_empty()) {
            needs.insert(Capability::Azure);
        }
        if !azure.tenants.is_empty() {
            needs.insert(Capability::AzureFaults);
        }
        if given.cluster.iter().any(|state| matches!(state.value, ClusterState::Policy(_))) {
            needs.insert(Capability::RunsPods);
        }
        for step in &scenario.when {
            match &step.value {
                Step::AdvanceTime(_) | Step::AdvanceClusterTime(_) => _ = needs.insert(Capability::VirtualTime),
                Step::SetWebhook(WebhookState::Upgraded) => _ = needs.insert(Capability::WebhookUpgrade),
                Step::SetWebhook(WebhookState::Untrusted) => {
                    needs.extend([Capability::WebhookControl, Capability::WebhookCa]);
                }
                Step::SetWebhook(_) => _ = needs.insert(Capability::WebhookControl),
                Step::SetApiServer(_) => _ = needs.insert(Capability::ApiServerControl),
                Step::SetIssuer(_) => _ = needs.insert(Capability::IssuerControl),
                Step::Break(fault) => {
                    needs.insert(Capability::AzureFaults);
                    // An identity provider keeps an issuer's keys, so a fault outlasts a case that shares its issuer with others.
                    if fault.place(&given.azure) == Some(FaultPlace::Issuer) {
                        needs.insert(Capability::IssuerControl);
                    }
                }
                Step::AskAgain(_) => _ = needs.insert(Capability::RunsPods),
                Step::AskToken(_) => needs.extend([Capability::IssuerReachable, Capability::Azure]),
                _ => {}
            }
        }
        if named::foreign(scenario).iter().any(|foreign| foreign.said) {
            needs.insert(Capability::ExistingObjects);
        }
        let asked: Vec<&str> = scenario
            .when
            .iter()
            .filter_map(|step| match &step.value {
                Step::AskToken(asked) => Some(asked.name.value.as_str()),
                _ => None,
            })
            .collect();
        for expectation in parse::expectations(scenario) {
            match &expectation.value {
                Expectation::Token(_) | Expectation::Log(_) => _ = needs.insert(Capability::RunsPods),
                Expectation::Metadata(e) => {
                    needs.insert(Capability::RunsPods);
                    if !matches!(e.outcome, MetadataOutcome::Unanswered) {
                        needs.insert(Capability::RunsProxy);
                    }
                    if matches!(e.outcome, MetadataOutcome::Granted) {
                        needs.extend([Capability::IssuerReachable, Capability::Azure]);
                    }
                }
                Expectation::Exchange(_) | Expectation::SecretRead(_) => {
                    needs.extend([Capability::IssuerReachable, Capability::Azure]);
                    if !matches!(expectation.value.subject(), Subject::Pod(name, _) if asked.contains(&name)) {
                        needs.insert(Capability::RunsPods);
                    }
                }
                _ => {}
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
    /// It makes no sense there: with an older Kubernetes, or another profile of the webhook.
    Unsuited {
        /// Why not.
        why: String,
    },
    /// It cannot be set up there.
    Blocked {
        /// What stands in the way, with its places.
        why: String,
    },
}

/// Why a case makes no sense with the issuer of a target: it is about the slash at the end of an issuer that has none.
pub fn unsuited_to_issuer(case: &Case, issuer: &str) -> Option<String> {
    const WITHOUT_SLASH: &str = "cluster.issuer.without-slash";
    if issuer.ends_with('/') {
        return None;
    }
    // The walk hands out texts to change, and ends at the first error: here, at the first text that speaks of the slash.
    let found = case.scenario.clone().each_text(&mut |text: &mut Text| match text.value.contains(WITHOUT_SLASH) {
        true => Err(()),
        false => Ok(()),
    });
    found.is_err().then(|| format!("it needs an issuer with a trailing slash; the target's issuer is {issuer}"))
}

/// Why a case makes no sense on what was found: an older Kubernetes, or another profile of the webhook. `None` when it
/// does, and where nothing is known.
pub fn unsuited(case: &Case, kubernetes: Option<&str>, profile: Option<&str>) -> Option<String> {
    if let (Some(wanted), Some(found)) = (&case.scenario.kubernetes, kubernetes)
        && version(found) < version(wanted)
    {
        return Some(format!("it needs Kubernetes {} or later; the target has {found}", wanted.value));
    }
    let profiles: Vec<&str> = case.scenario.profiles.iter().map(|profile| profile.value.as_str()).collect();
    match profile {
        Some(found) if !profiles.is_empty() && !profiles.contains(&found) => {
            Some(format!("it applies to webhook profile {}; the target has {found}", profiles.join(" and ")))
        }
        _ => None,
    }
}

/// The first two numbers of a version such as `v1.32.4-eks`.
pub(crate) fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.trim_start_matches('v').split('.').map(|part| {
        part.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().unwrap_or_default()
    });
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

/// Decides for one case. Needs are learned before anything is touched.
pub fn decide(case: &Case, capabilities: &BTreeSet<Capability>) -> Decision {
    let missing: Vec<Capability> = case.needs().difference(capabilities).copied().collect();
    let unsaid = named::unsaid(&case.scenario);
    match (missing.is_empty(), unsaid.is_empty()) {
        (true, true) => Decision::Runs,
        (true, false) => Decision::Unsuited { why: unsaid.join("; ") },
        (false, _) => Decision::NotApplicable { missing },
    }
}

/// Whether a case is selected: its id holds one of the filters, or is one of them when `exact`. No filter selects all.
pub fn selected(id: &str, filters: &[String], exact: bool) -> bool {
    filters.is_empty() || filters.iter().any(|filter| if exact { id == filter } else { id.contains(filter.as_str()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_about_a_trailing_slash_needs_an_issuer_that_has_one() {
        let text = "title: t\nrequirements: [A]\nmutants: [s]\ngiven:\n  azure:\n    identities: { app1: { federated: [ { issuer: '{{cluster.issuer.without-slash}}', subject: s } ] } }\nwhen:\n  - delete: { kind: Pod, name: p }\nthen:\n  - object: { kind: Pod, name: p, absent: true }\n";
        let scenario = parse::scenario("s.yaml", text.as_bytes()).unwrap();
        let case = Case { id: "a/s".into(), file: "s.yaml".into(), scenario, sabotage: None, variation: Vec::new() };
        assert_eq!(unsuited_to_issuer(&case, "https://issuer.example/"), None);
        let why = unsuited_to_issuer(&case, "https://issuer.example").unwrap();
        assert!(why.contains("the target's issuer is https://issuer.example"), "{why}");
    }

    #[test]
    fn a_fault_of_the_issuer_needs_an_issuer_that_no_other_case_shares() {
        for (of, how, needed) in [("issuer", "unavailable", true), ("resource-manager", "throttled", false)] {
            let text = format!(
                "title: t\nrequirements: [A]\nmutants: [s]\ngiven:\n  azure:\n    identities: {{ app1: {{}} }}\nwhen:\n  - break: {{ of: {of}, how: {how}, times: 1 }}\nthen:\n  - object: {{ kind: Pod, name: p, absent: true }}\n"
            );
            let scenario = parse::scenario("s.yaml", text.as_bytes()).unwrap();
            let case =
                Case { id: "a/s".into(), file: "s.yaml".into(), scenario, sabotage: None, variation: Vec::new() };
            assert_eq!(case.needs().contains(&Capability::IssuerControl), needed, "{of}");
            assert!(case.needs().contains(&Capability::AzureFaults), "{of}");
        }
    }
}
