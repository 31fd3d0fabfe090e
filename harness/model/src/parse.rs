//! Text and path into a scenario, or an error with line and column.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::located::{Located, Position, Text};
use crate::scenario::{ClusterState, Expectation, Manifests, Scenario, Step};
use crate::template;

/// The largest scenario or manifest file that is read, in bytes. A scenario is a page; anything near this is a mistake.
pub const MAX_BYTES: usize = 1024 * 1024;

/// A scenario file that cannot be used: where, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidScenario {
    /// The file.
    pub path: String,
    /// The place in it; line 0 where there is none.
    pub at: Position,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a scenario file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Not YAML, an unknown word, a missing or mistyped field.
    #[error("{0}")]
    Yaml(String),
    /// Bytes that are not UTF-8, at this offset.
    #[error("byte {0} is not UTF-8; save the file as UTF-8")]
    NotUtf8(usize),
    /// Larger than [`MAX_BYTES`].
    #[error("{0} bytes; a scenario or manifest may have at most {MAX_BYTES}")]
    TooLarge(usize),
    /// A manifest that is not a Kubernetes object.
    #[error("{0}")]
    Manifest(String),
    /// A `{{ }}` name that stands for nothing.
    #[error(transparent)]
    Name(#[from] template::UnknownName),
    /// A handle, pod or other reference that leads nowhere.
    #[error("{kind} `{name}` is not declared in this scenario; declared: {}", if .declared.is_empty() { "none".to_owned() } else { .declared.join(", ") })]
    Reference {
        /// What was referred to.
        kind: &'static str,
        /// The name as written.
        name: String,
        /// What could have been meant.
        declared: Vec<String>,
    },
    /// A list that must not be empty.
    #[error("`{0}` is empty; {1}")]
    Empty(&'static str, &'static str),
    /// Two things of the same name.
    #[error("{0} `{1}` is declared twice")]
    Twice(&'static str, String),
    /// A word that is known to nobody, with the known ones.
    #[error("unknown {0} `{1}`{2}")]
    Unknown(&'static str, String, String),
}

impl std::error::Error for InvalidScenario {}

impl std::fmt::Display for InvalidScenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.at {
            Position { line: 0, .. } => write!(f, "{}: {}", self.path, self.reason),
            Position { line, column } => write!(f, "{}:{line}:{column}: {}", self.path, self.reason),
        }
    }
}

impl InvalidScenario {
    /// An error at a place.
    pub fn new(path: &str, at: Position, reason: Reason) -> Self {
        InvalidScenario { path: path.to_owned(), at, reason }
    }

    /// An error of the YAML reader.
    pub fn yaml(path: &str, error: &serde_saphyr::Error) -> Self {
        let at = error.location().map_or_else(Position::default, |location| Position {
            line: u32::try_from(location.line()).unwrap_or(0),
            column: u32::try_from(location.column()).unwrap_or(0),
        });
        let mut message = error.without_snippet().to_string();
        // The place is printed in front of the message, in the form that editors and CI make a link of.
        if let Some(cut) = message.rfind(" at line ") {
            message.truncate(cut);
        }
        InvalidScenario::new(path, at, Reason::Yaml(message))
    }
}

/// Decodes a file's bytes.
///
/// # Errors
/// Too large, or not UTF-8.
pub fn text<'a>(path: &str, bytes: &'a [u8]) -> Result<&'a str, InvalidScenario> {
    let fault = |reason| InvalidScenario::new(path, Position::default(), reason);
    if bytes.len() > MAX_BYTES {
        return Err(fault(Reason::TooLarge(bytes.len())));
    }
    std::str::from_utf8(bytes).map_err(|error| fault(Reason::NotUtf8(error.valid_up_to())))
}

/// Reads a scenario and checks everything that the file alone can tell. Manifest files are not read; see
/// [`Manifests::loaded`].
///
/// # Errors
/// The first fault, with its place.
pub fn scenario(path: &str, bytes: &[u8]) -> Result<Scenario, InvalidScenario> {
    let text = text(path, bytes)?;
    let scenario: Scenario = serde_saphyr::from_str(text).map_err(|error| InvalidScenario::yaml(path, &error))?;
    check(&scenario).map_err(|(at, reason)| InvalidScenario::new(path, at, reason))?;
    Ok(scenario)
}

type Fault = (Position, Reason);

fn check(scenario: &Scenario) -> Result<(), Fault> {
    let empty = |what, advice| Err((scenario.title.at, Reason::Empty(what, advice)));
    if scenario.requirements.is_empty() {
        return empty("requirements", "name at least one requirement that this scenario shows");
    }
    if scenario.saboteurs.is_empty() {
        return empty(
            "saboteurs",
            "name at least one defect that turns it red: a scenario that cannot fail is not a test",
        );
    }
    if scenario.when.is_empty() {
        return empty("when", "say what is done");
    }
    if scenario.then.is_empty() {
        return empty("then", "say what must follow");
    }
    check_handles(scenario)?;
    let names = names(scenario);
    let mut copy = scenario.clone();
    each_text(&mut copy, &mut |text: &mut Text| {
        template::names(&text.value).try_for_each(|name| known(name, &names)).map_err(|reason| (text.at, reason))
    })?;
    for manifests in manifests(scenario) {
        for object in &manifests.objects {
            crate::manifest::check_object(&object.value).map_err(|what| (object.at, Reason::Manifest(what)))?;
        }
    }
    Ok(())
}

fn known(name: &str, names: &BTreeSet<String>) -> Result<(), Reason> {
    if names.contains(name) {
        return Ok(());
    }
    Err(template::UnknownName { name: name.to_owned(), known: names.iter().cloned().collect() }.into())
}

/// Every name that a `{{ }}` of this scenario may use.
pub fn names(scenario: &Scenario) -> BTreeSet<String> {
    let mut names: BTreeSet<String> =
        ["namespace", "random", "cluster.issuer", "azure.tenant-id", "azure.authority"].map(str::to_owned).into();
    let azure = &scenario.given.azure;
    for handle in azure.identities.keys().chain(azure.service_principals.keys()) {
        names.extend(["client-id", "principal-id", "name"].map(|field| format!("{handle}.{field}")));
    }
    for handle in azure.vaults.keys() {
        names.extend(["url", "name"].map(|field| format!("{handle}.{field}")));
    }
    names
}

fn check_handles(scenario: &Scenario) -> Result<(), Fault> {
    let azure = &scenario.given.azure;
    let mut principals: Vec<String> = azure.identities.keys().cloned().collect();
    for handle in azure.service_principals.keys() {
        if azure.identities.contains_key(handle) {
            return Err((scenario.title.at, Reason::Twice("handle", handle.clone())));
        }
        principals.push(handle.clone());
    }
    for handle in azure.vaults.keys() {
        if principals.contains(handle) {
            return Err((scenario.title.at, Reason::Twice("handle", handle.clone())));
        }
    }
    let refer = |text: &Text, kind: &'static str, declared: &[String]| {
        if declared.contains(&text.value) {
            Ok(())
        } else {
            Err((text.at, Reason::Reference { kind, name: text.value.clone(), declared: declared.to_vec() }))
        }
    };
    for policy in azure.vaults.values().flat_map(|vault| &vault.access) {
        refer(&policy.to, "identity or service principal", &principals)?;
    }
    let vaults: Vec<String> = azure.vaults.keys().cloned().collect();
    for expectation in &scenario.then {
        match &expectation.value {
            Expectation::Exchange(e) => {
                if let Some(identity) = &e.identity {
                    refer(identity, "identity or service principal", &principals)?;
                }
            }
            Expectation::SecretRead(e) => {
                refer(&e.vault, "vault", &vaults)?;
                let secrets: Vec<String> = azure.vaults[&e.vault.value].secrets.keys().cloned().collect();
                refer(&e.secret, "secret", &secrets)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks what only the loaded manifests can tell: every expectation speaks of a pod that the scenario creates, and every
/// `${NAME}` in a manifest file has a value.
///
/// # Errors
/// The first fault, with its place.
pub fn check_loaded(path: &str, scenario: &Scenario) -> Result<(), InvalidScenario> {
    let pods = pods(scenario);
    for expectation in &scenario.then {
        let (name, _) = expectation.value.pod();
        if !pods.contains(&name.to_owned()) {
            let reason = Reason::Reference { kind: "pod", name: name.to_owned(), declared: pods };
            return Err(InvalidScenario::new(path, expectation.at, reason));
        }
    }
    for manifests in manifests(scenario) {
        for loaded in &manifests.loaded {
            for variable in template::variables(&loaded.object.to_string()) {
                if !manifests.values.contains_key(&variable) {
                    let declared = manifests.values.keys().cloned().collect();
                    let reason = Reason::Reference { kind: "value for the variable", name: variable, declared };
                    let at = manifests
                        .files
                        .iter()
                        .find(|f| f.value == loaded.file)
                        .map_or_else(Position::default, |f| f.at);
                    return Err(InvalidScenario::new(path, at, reason));
                }
            }
        }
    }
    Ok(())
}

/// Names of the pods that the scenario's steps create.
pub fn pods(scenario: &Scenario) -> Vec<String> {
    let mut pods = Vec::new();
    for step in &scenario.when {
        match &step.value {
            Step::CreatePod(pod) => pods.push(pod.name.value.clone()),
            Step::Apply(manifests) => {
                let objects =
                    manifests.loaded.iter().map(|l| &l.object).chain(manifests.objects.iter().map(|o| &o.value));
                pods.extend(
                    objects
                        .filter(|o| o["kind"] == "Pod")
                        .filter_map(|o| o["metadata"]["name"].as_str().map(str::to_owned)),
                );
            }
        }
    }
    pods
}

/// All manifests of a scenario, state first.
pub fn manifests(scenario: &Scenario) -> impl Iterator<Item = &Manifests> {
    let state = scenario.given.cluster.iter().filter_map(|state| match &state.value {
        ClusterState::Manifests(manifests) => Some(manifests),
        _ => None,
    });
    let steps = scenario.when.iter().filter_map(|step| match &step.value {
        Step::Apply(manifests) => Some(manifests),
        Step::CreatePod(_) => None,
    });
    state.chain(steps)
}

/// The same, to be changed: for whoever reads the files.
pub fn manifests_mut(scenario: &mut Scenario) -> impl Iterator<Item = &mut Manifests> {
    let state = scenario.given.cluster.iter_mut().filter_map(|state| match &mut state.value {
        ClusterState::Manifests(manifests) => Some(manifests),
        _ => None,
    });
    let steps = scenario.when.iter_mut().filter_map(|step| match &mut step.value {
        Step::Apply(manifests) => Some(manifests),
        Step::CreatePod(_) => None,
    });
    state.chain(steps)
}

/// Hands every text of a scenario that may hold a `{{ }}` to `change`, strings inside inline objects included.
///
/// # Errors
/// The first error of `change`.
pub fn each_text<E>(scenario: &mut Scenario, change: &mut dyn FnMut(&mut Text) -> Result<(), E>) -> Result<(), E> {
    let given = &mut scenario.given;
    each(&mut given.namespace, change)?;
    for identity in given.azure.identities.values_mut() {
        each(&mut identity.name, change)?;
        federated(&mut identity.federated, change)?;
    }
    for principal in given.azure.service_principals.values_mut() {
        each(&mut principal.name, change)?;
        federated(&mut principal.federated, change)?;
    }
    for vault in given.azure.vaults.values_mut() {
        each(vault.secrets.values_mut(), change)?;
    }
    for state in &mut given.cluster {
        match &mut state.value {
            ClusterState::Namespace(namespace) => {
                change(&mut namespace.name)?;
                each(namespace.labels.values_mut(), change)?;
            }
            ClusterState::ServiceAccount(account) => {
                change(&mut account.name)?;
                each(&mut account.namespace, change)?;
                each(account.annotations.values_mut().chain(account.labels.values_mut()), change)?;
            }
            ClusterState::Manifests(manifests) => each_in_manifests(manifests, change)?,
        }
    }
    for step in &mut scenario.when {
        match &mut step.value {
            Step::CreatePod(pod) => {
                change(&mut pod.name)?;
                change(&mut pod.image)?;
                each(pod.namespace.iter_mut().chain(&mut pod.service_account), change)?;
                let maps = pod.labels.values_mut().chain(pod.annotations.values_mut()).chain(pod.env.values_mut());
                each(maps, change)?;
            }
            Step::Apply(manifests) => each_in_manifests(manifests, change)?,
        }
    }
    for expectation in &mut scenario.then {
        each_in_expectation(&mut expectation.value, change)?;
    }
    Ok(())
}

fn each<'a, E>(
    texts: impl IntoIterator<Item = &'a mut Text>,
    change: &mut dyn FnMut(&mut Text) -> Result<(), E>,
) -> Result<(), E> {
    texts.into_iter().try_for_each(change)
}

fn federated<E>(
    credentials: &mut [Located<crate::scenario::FederatedCredential>],
    change: &mut dyn FnMut(&mut Text) -> Result<(), E>,
) -> Result<(), E> {
    for credential in credentials {
        let credential = &mut credential.value;
        change(&mut credential.subject)?;
        each(credential.name.iter_mut().chain(&mut credential.issuer).chain(&mut credential.audience), change)?;
    }
    Ok(())
}

fn each_in_manifests<E>(
    manifests: &mut Manifests,
    change: &mut dyn FnMut(&mut Text) -> Result<(), E>,
) -> Result<(), E> {
    each(manifests.values.values_mut(), change)?;
    for object in &mut manifests.objects {
        let at = object.at;
        each_in_value(&mut object.value, at, change)?;
    }
    Ok(())
}

fn each_in_value<E>(
    value: &mut Value,
    at: Position,
    change: &mut dyn FnMut(&mut Text) -> Result<(), E>,
) -> Result<(), E> {
    template::each_string(value, &mut |string: &str| {
        let mut text = Located { value: string.to_owned(), at };
        change(&mut text)?;
        Ok(text.value)
    })
}

fn each_in_expectation<E>(
    expectation: &mut Expectation,
    change: &mut dyn FnMut(&mut Text) -> Result<(), E>,
) -> Result<(), E> {
    use crate::scenario::{AdmissionOutcome, ExchangeOutcome, SecretReadOutcome};
    match expectation {
        Expectation::Admission(e) => {
            each(std::iter::once(&mut e.of).chain(&mut e.namespace), change)?;
            if let AdmissionOutcome::Refused(refusal) = &mut e.outcome {
                change(&mut refusal.message)?;
            }
            Ok(())
        }
        Expectation::Pod(e) => {
            each(std::iter::once(&mut e.name).chain(&mut e.namespace).chain(&mut e.container), change)?;
            each(e.env.values_mut().chain(&mut e.without_env), change)?;
            each(e.token_volume.as_mut().map(|volume| &mut volume.audience), change)
        }
        Expectation::Token(e) => {
            let optional = e.namespace.iter_mut().chain(&mut e.issuer).chain(&mut e.audience);
            each([&mut e.of, &mut e.subject].into_iter().chain(optional), change)
        }
        Expectation::Exchange(e) => {
            each(std::iter::once(&mut e.by).chain(&mut e.namespace), change)?;
            match &mut e.outcome {
                ExchangeOutcome::Granted => Ok(()),
                ExchangeOutcome::Refused(text) | ExchangeOutcome::NotConfigured(text) => change(text),
            }
        }
        Expectation::SecretRead(e) => {
            each(std::iter::once(&mut e.by).chain(&mut e.namespace), change)?;
            match &mut e.outcome {
                SecretReadOutcome::Forbidden(text) => change(text),
                SecretReadOutcome::Allowed | SecretReadOutcome::NotAttempted => Ok(()),
            }
        }
        Expectation::Log(e) => {
            each([&mut e.of, &mut e.line].into_iter().chain(&mut e.namespace).chain(&mut e.container), change)
        }
    }
}

#[cfg(test)]
#[path = "parse/tests.rs"]
mod tests;
