//! Text and path into a scenario, or an error with line and column.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::document::{self, Placed, STAND_IN};
use crate::located::{Located, Position, Text};
use crate::scenario::expectation::Subject;
use crate::scenario::{ClusterState, Expectation, FaultPlace, Manifests, Scenario, Step};
use crate::template;
use crate::texts::Texts;

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
    /// Whether it only follows from another one, which is told: it speaks of what was put in the place of something wrong.
    pub(crate) fn follows(&self) -> bool {
        self.reason.to_string().contains(STAND_IN)
    }

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
/// Every fault, each with its place.
pub fn scenario(path: &str, bytes: &[u8]) -> Result<Scenario, Vec<InvalidScenario>> {
    match read(path, bytes) {
        (Some(scenario), faults) if faults.is_empty() => Ok(scenario),
        (_, faults) => Err(faults),
    }
}

/// The same, with what can be said of a scenario that has faults: whoever knows more of it finds further ones.
pub fn read(path: &str, bytes: &[u8]) -> (Option<Scenario>, Vec<InvalidScenario>) {
    let invalid = |at, reason| InvalidScenario::new(path, at, reason);
    let text = match text(path, bytes) {
        Ok(text) => text,
        Err(fault) => return (None, vec![fault]),
    };
    let mut document = match Placed::read(text) {
        Ok(document) => document,
        Err(error) => return (None, vec![InvalidScenario::yaml(path, &error)]),
    };
    let schema = crate::schema::scenario();
    let mut faults: Vec<InvalidScenario> =
        document::check(&schema, &mut document).into_iter().map(|(at, what)| invalid(at, Reason::Yaml(what))).collect();
    let scenario: Option<Scenario> = if faults.is_empty() {
        match serde_saphyr::from_str(text) {
            Ok(scenario) => Some(scenario),
            Err(error) => return (None, vec![InvalidScenario::yaml(path, &error)]),
        }
    } else {
        document.decode().ok()
    };
    if let Some(scenario) = &scenario {
        let more = check(scenario, &document).into_iter().map(|(at, reason)| invalid(at, reason));
        faults.extend(more.filter(|fault| !fault.follows()));
    }
    faults.sort_by_key(|fault| fault.at);
    (scenario, faults)
}

/// The keys of a scenario file that were renamed: the notice for each, with its place.
pub fn renamed(path: &str, bytes: &[u8]) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    // Nearly no file has one, and a document is read only for one that may.
    if !crate::schema::RENAMED.iter().any(|(old, _)| text.contains(old)) {
        return Vec::new();
    }
    let Ok(document) = Placed::read(text) else { return Vec::new() };
    crate::schema::RENAMED
        .iter()
        .filter_map(|(old, new)| {
            let at = document.place_of_key(old)?;
            Some(format!("{path}:{}:{}: the key `{old}` is deprecated; write `{new}`", at.line, at.column))
        })
        .collect()
}

/// Whether a scenario is complete for a suite with a catalogue: it names requirements, and mutants under which it fails.
pub fn lacking(path: &str, scenario: &Scenario) -> Vec<InvalidScenario> {
    let mut faults = Vec::new();
    let mut empty = |what, advice| {
        faults.push(InvalidScenario::new(path, Position { line: 1, column: 1 }, Reason::Empty(what, advice)));
    };
    if scenario.requirements.is_empty() {
        empty("requirements", "name at least one requirement that this scenario covers");
    }
    if scenario.saboteurs.is_empty() {
        empty(
            "mutants",
            "name at least one mutant under which the scenario fails: a scenario that cannot fail is not a test",
        );
    }
    faults
}

type Fault = (Position, Reason);

fn check(scenario: &Scenario, document: &Placed) -> Vec<Fault> {
    let mut faults = Vec::new();
    let refuses = scenario.given.webhook_refuses.is_some();
    if refuses && !(scenario.when.is_empty() && scenario.then.is_empty()) {
        let reason = "`webhook-refuses` excludes `when` and `then`, because the webhook does not start";
        faults.push((document.place_of("given"), Reason::Manifest(reason.to_owned())));
    }
    if !refuses && scenario.when.is_empty() {
        faults.push((document.place_of("when"), Reason::Empty("when", "list the steps")));
    }
    if !refuses && scenario.then.is_empty() {
        faults.push((document.place_of("then"), Reason::Empty("then", "list the expectations")));
    }
    check_handles(scenario, document, &mut faults);
    for id in scenario.given.azure.chosen_ids().filter(|id| !is_uuid(&id.value)) {
        let reason = format!("`{}` is not an id: expected one such as 11111111-2222-3333-4444-555555555555", id.value);
        faults.push((id.at, Reason::Manifest(reason)));
    }
    if let Some(issuer) = scenario.given.issuer.as_ref().filter(|issuer| !issuer.value.starts_with("https://")) {
        let reason = format!("`{}` is not an issuer: expected a URL that begins with https://", issuer.value);
        faults.push((issuer.at, Reason::Manifest(reason)));
    }
    let names = names(scenario);
    let mut copy = scenario.clone();
    let _ = copy.each_text(&mut |text: &mut Text| {
        faults.extend(
            template::names(&text.value).filter_map(|name| known(name, &names).err()).map(|why| (text.at, why)),
        );
        Ok::<(), std::convert::Infallible>(())
    });
    for manifests in manifests(scenario) {
        for object in &manifests.objects {
            faults.extend(
                crate::manifest::check_object(&object.value).err().map(|what| (object.at, Reason::Manifest(what))),
            );
        }
    }
    faults
}

/// Eight, four, four, four and twelve hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
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
        ["namespace", "random", "cluster.issuer", "cluster.issuer.without-slash", "azure.tenant-id", "azure.authority"]
            .map(str::to_owned)
            .into();
    let azure = &scenario.given.azure;
    for handle in azure.identities.keys().chain(azure.service_principals.keys()) {
        names.extend(["client-id", "principal-id", "name"].map(|field| format!("{handle}.{field}")));
    }
    names.extend(azure.tenants.keys().map(|handle| format!("{handle}.tenant-id")));
    for handle in azure.vaults.keys() {
        names.extend(["url", "name"].map(|field| format!("{handle}.{field}")));
    }
    names
}

/// Federated credentials that trust nobody. That both words exclude each other is Azure's to say, when a step adds one.
fn check_credentials(scenario: &Scenario, faults: &mut Vec<Fault>) {
    let azure = &scenario.given.azure;
    let identities = azure.identities.values().flat_map(|identity| &identity.federated);
    let principals = azure.service_principals.values().flat_map(|principal| &principal.federated);
    let given = identities.chain(principals).map(|credential| (credential.at, &credential.value));
    let added = scenario.when.iter().filter_map(|step| match &step.value {
        Step::Trust(trust) => Some((step.at, &trust.federated)),
        _ => None,
    });
    for (at, credential) in given.chain(added) {
        if credential.subject.is_none() && credential.claims_matching_expression.is_none() {
            let reason = "a federated credential trusts a `subject`, or a `claims-matching-expression` in its place";
            faults.push((at, Reason::Manifest(reason.to_owned())));
        }
    }
}

/// Faults that do not happen where a scenario wants them.
fn check_faults(scenario: &Scenario, faults: &mut Vec<Fault>) {
    for step in &scenario.when {
        let Step::Break(fault) = &step.value else { continue };
        let Some(place) = fault.place(&scenario.given.azure) else { continue };
        let word = |text: String| text.trim_matches('"').to_owned();
        if !fault.how.places().contains(&place) {
            let places: Vec<String> = fault.how.places().iter().map(|place| place.words().to_owned()).collect();
            let reason = format!(
                "{} does not happen at {}: expected {}",
                word(serde_json::to_string(&fault.how).unwrap_or_default()),
                place.words(),
                places.join(", ")
            );
            faults.push((fault.of.at, Reason::Manifest(reason)));
        }
        if fault.how.stands() && fault.times.is_some() {
            let reason = "`times` counts events, and this fault is a state of things: leave `times` out";
            faults.push((fault.of.at, Reason::Manifest(reason.to_owned())));
        }
    }
}

fn check_handles(scenario: &Scenario, document: &Placed, faults: &mut Vec<Fault>) {
    let azure = &scenario.given.azure;
    let mut principals: Vec<String> = azure.identities.keys().cloned().collect();
    for handle in azure.service_principals.keys() {
        if azure.identities.contains_key(handle) {
            faults.push((document.place_of("given"), Reason::Twice("handle", handle.clone())));
        }
        principals.push(handle.clone());
    }
    for handle in azure.vaults.keys() {
        if principals.contains(handle) {
            faults.push((document.place_of("given"), Reason::Twice("handle", handle.clone())));
        }
    }
    let mut refer = |text: &Text, kind: &'static str, declared: &[String]| {
        if !declared.contains(&text.value) {
            faults.push((text.at, Reason::Reference { kind, name: text.value.clone(), declared: declared.to_vec() }));
        }
    };
    for policy in azure.vaults.values().flat_map(|vault| &vault.access) {
        refer(&policy.to, "identity or service principal", &principals);
    }
    let applications: Vec<String> = azure.service_principals.keys().cloned().collect();
    for known in azure.tenants.values().flat_map(|tenant| &tenant.knows) {
        refer(known, "service principal", &applications);
    }
    for user in azure.vaults.values().flat_map(|vault| &vault.secrets_user) {
        refer(user, "identity or service principal", &principals);
    }
    for assignment in azure.vaults.values().flat_map(|vault| &vault.roles) {
        refer(&assignment.to, "identity or service principal", &principals);
    }
    let vaults: Vec<String> = azure.vaults.keys().cloned().collect();
    let identities: Vec<String> = azure.identities.keys().cloned().collect();
    for step in &scenario.when {
        match &step.value {
            Step::SetSecret(step) => refer(&step.vault, "vault", &vaults),
            Step::Grant(step) => {
                refer(&step.vault, "vault", &vaults);
                refer(&step.to, "identity or service principal", &principals);
            }
            Step::RotateClientSecret(handle) => {
                refer(handle, "service principal", &applications);
            }
            Step::AskToken(step) => {
                if let Some(read) = &step.reads {
                    refer(&read.vault, "vault", &vaults);
                }
            }
            Step::Trust(step) => refer(&step.identity, "identity or service principal", &principals),
            Step::Distrust(step) => refer(&step.identity, "identity", &identities),
            Step::Break(step) => {
                let shared = FaultPlace::SHARED.map(|(word, _)| word.to_owned());
                let all: Vec<String> = principals.iter().chain(&vaults).chain(&shared).cloned().collect();
                refer(&step.of, "identity, service principal or vault", &all);
            }
            _ => {}
        }
    }
    let tenants: Vec<String> = azure.tenants.keys().cloned().collect();
    for expectation in expectations(scenario) {
        match &expectation.value {
            Expectation::Exchange(e) => {
                if let Some(identity) = &e.identity {
                    refer(identity, "identity or service principal", &principals);
                }
                if let Some(tenant) = &e.tenant {
                    refer(tenant, "tenant", &tenants);
                }
            }
            Expectation::Metadata(e) => {
                if let Some(identity) = &e.identity {
                    refer(identity, "identity or service principal", &principals);
                }
                if let Some(tenant) = &e.tenant {
                    refer(tenant, "tenant", &tenants);
                }
            }
            Expectation::Challenge(e) => refer(&e.vault, "vault", &vaults),
            Expectation::SecretRead(e) => {
                refer(&e.vault, "vault", &vaults);
                if !matches!(e.outcome, crate::scenario::SecretReadOutcome::Missing(_)) {
                    let vault = azure.vaults.get(&e.vault.value);
                    if let Some(vault) = vault {
                        let secrets: Vec<String> = vault.secrets.keys().cloned().collect();
                        refer(&e.secret, "secret", &secrets);
                    }
                }
            }
            _ => {}
        }
    }
    check_faults(scenario, faults);
    check_credentials(scenario, faults);
    for state in &scenario.given.cluster {
        if let ClusterState::Manifests(manifests) = &state.value
            && manifests.refused.is_some()
        {
            let reason = "`refused` is only allowed in steps; `given` objects must be accepted";
            faults.push((state.at, Reason::Manifest(reason.to_owned())));
        }
    }
}

/// Every expectation of a scenario: those that a step waits for, and those at its end.
pub fn expectations(scenario: &Scenario) -> impl Iterator<Item = &Located<Expectation>> {
    let waited = scenario.when.iter().filter_map(|step| match &step.value {
        Step::Check(expectation) => Some(&**expectation),
        _ => None,
    });
    waited.chain(&scenario.then)
}

/// Checks what only the loaded manifests can tell: every expectation speaks of a pod that the scenario creates, and every
/// `${NAME}` in a manifest file has a value. Gives back every fault, with its place.
pub fn check_loaded(path: &str, scenario: &Scenario) -> Vec<InvalidScenario> {
    let mut faults = Vec::new();
    let mut pods = pods(scenario);
    pods.retain(|pod| !pod.contains(STAND_IN));
    let mut named: Vec<(&str, Position)> = Vec::new();
    for expectation in expectations(scenario) {
        if let Subject::Pod(name, _) = expectation.value.subject() {
            named.push((name, expectation.at));
        }
    }
    for step in &scenario.when {
        if let Step::RestartPod(name) | Step::AskAgain(name) = &step.value {
            named.push((name, name.at));
        }
    }
    for (name, at) in named {
        if !pods.contains(&name.to_owned()) {
            let reason = Reason::Reference { kind: "pod", name: name.to_owned(), declared: pods.clone() };
            faults.push(InvalidScenario::new(path, at, reason));
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
                    faults.push(InvalidScenario::new(path, at, reason));
                }
            }
        }
    }
    faults.retain(|fault| !fault.follows());
    faults
}

/// Kinds that make pods of a template.
pub const WORKLOADS: [&str; 7] =
    ["Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job", "CronJob"];

/// Names by which expectations may speak of pods: those that steps create, workloads as `deployment/NAME`, and exchanges
/// that the harness makes itself.
pub fn pods(scenario: &Scenario) -> Vec<String> {
    let mut pods = Vec::new();
    for step in &scenario.when {
        match &step.value {
            Step::CreatePod(pod) => pods.push(pod.name.value.clone()),
            Step::AskToken(asked) => pods.push(asked.name.value.clone()),
            Step::Apply(manifests) => {
                let objects =
                    manifests.loaded.iter().map(|l| &l.object).chain(manifests.objects.iter().map(|o| &o.value));
                pods.extend(objects.filter_map(pods_name));
            }
            _ => {}
        }
    }
    pods
}

/// The name by which expectations speak of what an object is or makes, if it is a pod or makes pods.
pub fn pods_name(object: &Value) -> Option<String> {
    let (kind, name) = (object["kind"].as_str()?, object["metadata"]["name"].as_str()?);
    if kind == "Pod" {
        return Some(name.to_owned());
    }
    WORKLOADS.contains(&kind).then(|| format!("{}/{name}", kind.to_lowercase()))
}

/// All manifests of a scenario, state first.
pub fn manifests(scenario: &Scenario) -> impl Iterator<Item = &Manifests> {
    let state = scenario.given.cluster.iter().filter_map(|state| match &state.value {
        ClusterState::Manifests(manifests) => Some(manifests),
        _ => None,
    });
    let steps = scenario.when.iter().filter_map(|step| match &step.value {
        Step::Apply(manifests) => Some(manifests),
        _ => None,
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
        _ => None,
    });
    state.chain(steps)
}

#[cfg(test)]
#[path = "parse/tests.rs"]
mod tests;
