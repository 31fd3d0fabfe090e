//! What is known of a case before it runs: whether the target could set it up at all. A plan says it, and a run decides by it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Case, Decision, decide, unsuited};
use crate::capability::Capability;
use crate::located::Position;
use crate::manifest;
use crate::parse;
use crate::scenario::expectation::{Asks, Subject};
use crate::scenario::{ClusterState, Manifests, Step};

/// What a target offers, as far as that is known before it is touched.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    /// What it can do.
    pub capabilities: BTreeSet<Capability>,
    /// The kinds that it serves.
    pub kinds: Kinds,
    /// The images that it has programs for, by their name without tag and digest; `None` where nodes pull what there is.
    pub images: Option<BTreeSet<String>>,
    /// The namespaces that are there before a run; `None` where only the cluster can tell.
    pub namespaces: Option<BTreeSet<String>>,
    /// Its version of Kubernetes, where that is known.
    pub kubernetes: Option<String>,
    /// The profile of its webhook, where that is known.
    pub profile: Option<String>,
}

/// The kinds that a target serves.
#[derive(Debug, Clone, Copy, Default)]
pub enum Kinds {
    /// Those of which this says so, by API version and kind.
    These(fn(&str, &str) -> bool),
    /// Every kind of Kubernetes' own groups, and no other.
    Own,
    /// Only the cluster can tell.
    #[default]
    Unknown,
}

impl Kinds {
    fn serves(self, api_version: &str, kind: &str) -> bool {
        match self {
            Kinds::These(serves) => serves(api_version, kind),
            Kinds::Own => {
                let group = api_version.split_once('/').map_or("", |(group, _)| group);
                !group.contains('.') || group.ends_with(".k8s.io")
            }
            Kinds::Unknown => true,
        }
    }
}

/// Decides for one case, by everything that is known before the target is touched.
pub fn foresee(case: &Case, offer: &Offer) -> Decision {
    match decide(case, &offer.capabilities) {
        Decision::Runs => {}
        decided @ (Decision::NotApplicable { .. } | Decision::Unsuited { .. } | Decision::Blocked { .. }) => {
            return decided;
        }
    }
    if let Some(why) = unsuited(case, offer.kubernetes.as_deref(), offer.profile.as_deref()) {
        return Decision::Unsuited { why };
    }
    let look = Look { case, offer };
    let obstacles = [look.names(), look.kinds(), look.images()].concat();
    if obstacles.is_empty() {
        return Decision::Runs;
    }
    let told = |(at, why): &(Position, String)| match at.line {
        0 => why.clone(),
        line => format!("{why} ({}:{line}:{})", case.file, at.column),
    };
    Decision::Blocked { why: obstacles.iter().map(told).collect::<Vec<_>>().join("; ") }
}

type Obstacle = (Position, String);

struct Look<'a> {
    case: &'a Case,
    offer: &'a Offer,
}

/// An object that a scenario brings: where it says so, and whether it must be taken.
struct Brought<'a> {
    object: &'a Value,
    at: Position,
    /// Whether it is refused without more ado where it cannot be had; a pod's refusal is evidence.
    must_be_taken: bool,
}

impl Look<'_> {
    /// Objects of manifests in the order in which they are created.
    fn brought(&self) -> Vec<Brought<'_>> {
        fn of(manifests: &Manifests, at: Position) -> Vec<Brought<'_>> {
            let must_be_taken = manifests.refused.is_none();
            let named =
                |file: &str| manifests.files.iter().find(|named| named.value == file).map_or(at, |named| named.at);
            let loaded = manifests.loaded.iter().map(|loaded| (&loaded.object, named(&loaded.file)));
            let written = manifests.objects.iter().map(|object| (&object.value, object.at));
            loaded.chain(written).map(|(object, at)| Brought { object, at, must_be_taken }).collect()
        }
        let scenario = &self.case.scenario;
        let given = scenario.given.cluster.iter().filter_map(|state| match &state.value {
            ClusterState::Manifests(manifests) => Some(of(manifests, state.at)),
            ClusterState::Namespace(_) | ClusterState::ServiceAccount(_) | ClusterState::Policy(_) => None,
        });
        let applied = scenario.when.iter().filter_map(|step| match &step.value {
            Step::Apply(manifests) => Some(of(manifests, step.at)),
            _ => None,
        });
        given.chain(applied).flatten().collect()
    }

    /// Kinds that are not served, but by a CustomResourceDefinition that comes before.
    fn kinds(&self) -> Vec<Obstacle> {
        let mut added = Vec::new();
        let mut obstacles: Vec<Obstacle> = Vec::new();
        for brought in self.brought() {
            let text = |field: &str| brought.object[field].as_str().unwrap_or_default();
            let (api_version, kind) = (text("apiVersion"), text("kind"));
            added.extend(manifest::kinds_of(brought.object));
            let is_added = added.iter().any(|(of, named)| of == api_version && named == kind);
            if brought.must_be_taken && !is_added && !self.offer.kinds.serves(api_version, kind) {
                obstacles.push((
                    brought.at,
                    format!(
                        "the target does not serve {kind} of {api_version}: bring its CustomResourceDefinition before it, or leave it out"
                    ),
                ));
            }
        }
        obstacles
    }

    /// Names that cannot be had: they are not legal, or stand for something that is there already, or that is not.
    fn names(&self) -> Vec<Obstacle> {
        let given = &self.case.scenario.given;
        let mut obstacles = Vec::new();
        if let Some(namespace) = &given.namespace {
            let name = filled(&namespace.value);
            if !is_label(&name) {
                obstacles.push((namespace.at, format!("`{name}` is not a valid namespace name: {LABEL}")));
            } else if self.offer.namespaces.as_ref().is_some_and(|there| there.contains(&name)) {
                let why = format!("namespace {name} exists already, but the case must create it; choose another name");
                obstacles.push((namespace.at, why));
            }
        }
        for (handle, vault) in &given.azure.vaults {
            if let Some(name) = vault.name.as_ref().filter(|name| !is_vault_name(&filled(&name.value))) {
                let why = "3 to 24 letters, digits and single hyphens, a letter first, no hyphen last";
                obstacles.push((name.at, format!("`{}` is not a valid name for vault {handle}: {why}", name.value)));
            }
        }
        for (handle, identity) in &given.azure.identities {
            if let Some(name) = identity.name.as_ref().filter(|name| !is_identity_name(&filled(&name.value))) {
                let why = "3 to 128 letters, digits, hyphens and underscores, a letter or digit first";
                obstacles.push((name.at, format!("`{}` is not a valid name for identity {handle}: {why}", name.value)));
            }
        }
        obstacles.extend(self.names_in_the_cluster());
        obstacles
    }

    fn names_in_the_cluster(&self) -> Vec<Obstacle> {
        let given = &self.case.scenario.given;
        let mut obstacles = Vec::new();
        let mut there: BTreeSet<String> = self.offer.namespaces.iter().flatten().cloned().collect();
        there.insert(given.namespace.as_ref().map_or_else(|| filled("{{namespace}}"), |name| filled(&name.value)));
        for state in &given.cluster {
            if let ClusterState::Namespace(namespace) = &state.value {
                let name = filled(&namespace.name.value);
                if !is_label(&name) {
                    obstacles.push((namespace.name.at, format!("`{name}` is not a valid namespace name: {LABEL}")));
                }
                there.insert(name);
            }
        }
        for brought in self.brought().into_iter().filter(|brought| brought.must_be_taken) {
            let text = |value: &Value| value.as_str().map(filled);
            let (kind, name) =
                (brought.object["kind"].as_str().unwrap_or_default(), text(&brought.object["metadata"]["name"]));
            let Some(name) = name.filter(|name| !name.contains("${")) else { continue };
            let rule = if kind == "Namespace" { (is_label(&name), LABEL) } else { (is_subdomain(&name), SUBDOMAIN) };
            let any_name =
                brought.object["apiVersion"].as_str().is_some_and(|of| of.starts_with("rbac.authorization.k8s.io/"));
            // A pod that is refused is evidence, and so may be what the scenario is about.
            if kind != "Pod" && !any_name && !rule.0 {
                obstacles.push((brought.at, format!("`{name}` is not a valid {kind} name: {}", rule.1)));
            }
            if kind == "Namespace" {
                there.insert(name);
            } else if let Some(namespace) = text(&brought.object["metadata"]["namespace"])
                && self.offer.namespaces.is_some()
                && kind != "Pod"
                && !namespace.contains("${")
                && !there.contains(&namespace)
            {
                let why = format!(
                    "{kind} {name} is in namespace {namespace}, which does not exist: write `namespace: {namespace}` in `given`, or create the Namespace before it"
                );
                obstacles.push((brought.at, why));
            }
        }
        obstacles
    }

    /// Images that stand for no program, in pods that must speak.
    fn images(&self) -> Vec<Obstacle> {
        let Some(known) = &self.offer.images else { return Vec::new() };
        let speaking = self.speaking();
        let mut obstacles: Vec<Obstacle> = Vec::new();
        let mut tell = |image: &str, pod: &str, at: Position| {
            let name = repository(image);
            let why = format!(
                "image {image} has no program on this target, so pod {pod} would not start; set one with `--image {name}=PROGRAM`"
            );
            if !obstacles.iter().any(|(_, told)| *told == why) {
                obstacles.push((at, why));
            }
        };
        for step in &self.case.scenario.when {
            if let Step::CreatePod(pod) = &step.value
                && speaking.contains(pod.name.value.as_str())
                && !known.contains(repository(&filled(&pod.image.value)))
            {
                tell(&filled(&pod.image.value), &pod.name.value, pod.image.at);
            }
        }
        for brought in self.brought() {
            let Some(pod) = parse::pods_name(brought.object).filter(|pod| speaking.contains(pod.as_str())) else {
                continue;
            };
            let Some(spec) = manifest::pod_spec(brought.object).and_then(|path| brought.object.pointer(path)) else {
                continue;
            };
            let unknown = |list: &str| -> (Vec<String>, usize) {
                let all: Vec<&str> =
                    spec[list].as_array().into_iter().flatten().filter_map(|one| one["image"].as_str()).collect();
                let unknown = all.iter().filter(|image| !image.contains("${") && !known.contains(repository(image)));
                (unknown.map(|image| (*image).to_owned()).collect(), all.len())
            };
            let (before, _) = unknown("initContainers");
            let (missing, all) = unknown("containers");
            // What runs beside a container that does not start may speak all the same.
            let missing = if missing.len() == all { missing } else { Vec::new() };
            before.iter().chain(&missing).for_each(|image| tell(image, &pod, brought.at));
        }
        obstacles
    }

    /// Pods that expectations want to hear something of.
    fn speaking(&self) -> BTreeSet<&str> {
        let scenario = &self.case.scenario;
        let heard = parse::expectations(scenario).filter(|expectation| expectation.value.asks() != Asks::Nothing);
        let named = heard.filter_map(|expectation| match expectation.value.subject() {
            Subject::Pod(name, _) => Some(name),
            Subject::Cluster => None,
        });
        named.collect()
    }
}

const LABEL: &str = "at most 63 lower-case letters, digits and hyphens, none of these last or first";
const SUBDOMAIN: &str = "at most 253 lower-case letters, digits, hyphens and dots, a letter or digit first and last";

/// A text with something in the place of each `{{ }}`, which is legal in every name.
fn filled(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, behind)) = after.split_once("}}") else { break };
        // Names differ as what they stand for does.
        out.push('x');
        out.extend(name.trim().chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }));
        rest = behind;
    }
    out + rest
}

fn is_subdomain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = name.chars().next().is_some_and(plain) && name.chars().last().is_some_and(plain);
    ends && name.len() <= 253 && name.chars().all(|c| plain(c) || c == '-' || c == '.')
}

fn is_label(name: &str) -> bool {
    is_subdomain(name) && name.len() <= 63 && !name.contains('.')
}

fn is_vault_name(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !name.ends_with('-')
        && !name.contains("--")
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn is_identity_name(name: &str) -> bool {
    (3..=128).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// An image's name without tag and digest; a registry's port is no tag.
fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(text: &str, offer: &Offer) -> Decision {
        let scenario = parse::scenario("s.yaml", text.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}"));
        foresee(
            &Case { id: "a/s".into(), file: "s.yaml".into(), scenario, sabotage: None, variation: Vec::new() },
            offer,
        )
    }

    fn offer() -> Offer {
        Offer {
            capabilities: Capability::ALL.into(),
            kinds: Kinds::These(|api_version, kind| (api_version, kind) != ("example.org/v1", "Widget")),
            images: Some(["quickstart/rust".to_owned()].into()),
            namespaces: Some(["default".to_owned()].into()),
            kubernetes: Some("v1.34.1".into()),
            profile: Some("1.6".into()),
        }
    }

    fn blocked(text: &str) -> String {
        match decided(text, &offer()) {
            Decision::Blocked { why } => why,
            other => panic!("{other:?}"),
        }
    }

    const WIDGET: &str = "{ apiVersion: example.org/v1, kind: Widget, metadata: { name: w } }";
    const DEFINITION: &str = "{ apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: { name: widgets.example.org }, spec: { group: example.org, names: { kind: Widget, plural: widgets }, versions: [ { name: v1, served: true } ] } }";

    fn applying(objects: &str) -> String {
        format!(
            "title: t\nwhen:\n  - apply: {{ objects: [ {objects} ] }}\nthen:\n  - object: {{ kind: Pod, name: p, absent: true }}\n"
        )
    }

    #[test]
    fn a_kind_that_is_not_served_blocks_unless_its_definition_comes_first() {
        let told = blocked(&applying(WIDGET));
        assert!(told.starts_with("the target does not serve Widget of example.org/v1: bring its"), "{told}");
        assert!(told.ends_with("(s.yaml:3:25)"), "{told}");
        assert_eq!(decided(&applying(&format!("{DEFINITION}, {WIDGET}")), &offer()), Decision::Runs);
        assert!(blocked(&applying(&format!("{WIDGET}, {DEFINITION}"))).starts_with("the target does not serve"));
        let unknown = Offer { kinds: Kinds::Unknown, ..offer() };
        assert_eq!(decided(&applying(WIDGET), &unknown), Decision::Runs);
    }

    #[test]
    fn names_that_cannot_be_had_block_each_at_its_place() {
        let with = |given: &str| {
            format!(
                "title: t\ngiven: {{ {given} }}\nwhen:\n  - create-pod: {{ name: p, image: x }}\nthen:\n  - admission: {{ of: p, outcome: unchanged }}\n"
            )
        };
        for (given, expected) in [
            ("namespace: Shop", "`Shop` is not a valid namespace name"),
            ("namespace: default", "namespace default exists already"),
            ("azure: { vaults: { kv: { name: a--b } } }", "`a--b` is not a valid name for vault kv"),
            ("azure: { identities: { a: { name: -x } } }", "`-x` is not a valid name for identity a"),
            ("cluster: [ { namespace: { name: a.b } } ]", "`a.b` is not a valid namespace name"),
            (
                "cluster: [ { manifests: { objects: [ { apiVersion: v1, kind: ConfigMap, metadata: { name: A_b } } ] } } ]",
                "`A_b` is not a valid ConfigMap name",
            ),
            (
                "cluster: [ { manifests: { objects: [ { apiVersion: v1, kind: ConfigMap, metadata: { name: a, namespace: shop } } ] } } ]",
                "is in namespace shop, which does not exist",
            ),
        ] {
            let why = blocked(&with(given));
            assert!(why.contains(expected) && why.contains("(s.yaml:2:"), "{given}: {why}");
        }
        for given in [
            "namespace: '{{random}}-a'",
            "namespace: shop, cluster: [ { manifests: { objects: [ { apiVersion: v1, kind: ConfigMap, metadata: { name: a, namespace: shop } } ] } } ]",
            "cluster: [ { namespace: { name: '{{namespace}}-b' } }, { manifests: { objects: [ { apiVersion: v1, kind: ConfigMap, metadata: { name: a, namespace: '{{namespace}}-b' } } ] } } ]",
            "cluster: [ { manifests: { objects: [ { apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: { name: 'system:x' } } ] } } ]",
        ] {
            assert_eq!(decided(&with(given), &offer()), Decision::Runs, "{given}");
        }
    }

    #[test]
    fn an_image_without_a_program_blocks_where_its_pod_must_speak_and_nowhere_else() {
        let with = |image: &str, then: &str| {
            format!("title: t\nwhen:\n  - create-pod: {{ name: p, image: '{image}' }}\nthen:\n  - {then}\n")
        };
        let log = "log: { of: p, line: x }";
        let why = blocked(&with("my.registry:5000/shop/web:1.4", log));
        assert!(why.contains("`--image my.registry:5000/shop/web=PROGRAM`") && why.contains("(s.yaml:3:"), "{why}");
        assert_eq!(decided(&with("quickstart/rust:2", log), &offer()), Decision::Runs);
        assert_eq!(decided(&with("nginx", "admission: { of: p, outcome: unchanged }"), &offer()), Decision::Runs);
        assert_eq!(decided(&with("nginx", log), &Offer { images: None, ..offer() }), Decision::Runs);
    }

    #[test]
    fn another_profile_is_told_before_the_target_is_touched() {
        let text = "title: t\nprofiles: ['1.5']\nwhen:\n  - create-pod: { name: p, image: x }\nthen:\n  - admission: { of: p, outcome: unchanged }\n";
        assert!(matches!(decided(text, &offer()), Decision::Unsuited { why } if why.contains("1.5")));
        assert_eq!(decided(text, &Offer { profile: None, ..offer() }), Decision::Runs);
    }
}
