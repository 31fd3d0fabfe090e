//! Project rules that a test can enforce.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 600;

/// Who may import whom: the program the suite, the suite its targets, targets the engine, fixtures and images; no target
/// another one. Fixtures import only `wi-serve`, which has no domain knowledge.
const ARROWS: &[(&str, &str, &[&str])] = &[
    ("harness/model", "wi-model", &[]),
    ("harness/engine", "wi-engine", &["wi-model", "wi-serve"]),
    ("harness/report", "wi-report", &["wi-model"]),
    ("harness/images", "wi-images", &["wi-model"]),
    (
        "harness/target-embedded",
        "wi-target-embedded",
        &[
            "wi-model",
            "wi-engine",
            "wi-images",
            "wi-serve",
            "wi-embedded-cluster",
            "wi-process-node",
            "wi-azure-emulator",
            "wi-reference-webhook",
            "wi-reference-proxy",
            "wi-admission-policy",
            "wi-quickstart",
        ],
    ),
    (
        "harness/target-kind",
        "wi-target-kind",
        &[
            "wi-model",
            "wi-engine",
            "wi-images",
            "wi-serve",
            "wi-embedded-cluster",
            "wi-process-node",
            "wi-azure-emulator",
            "wi-reference-webhook",
            "wi-reference-proxy",
            "wi-admission-policy",
            "wi-quickstart",
        ],
    ),
    (
        "harness/target-azure",
        "wi-target-azure",
        &[
            "wi-model",
            "wi-engine",
            "wi-images",
            "wi-serve",
            "wi-embedded-cluster",
            "wi-process-node",
            "wi-azure-emulator",
            "wi-reference-webhook",
            "wi-reference-proxy",
            "wi-admission-policy",
            "wi-quickstart",
        ],
    ),
    (
        "harness/suite",
        "wi-suite",
        &[
            "wi-model",
            "wi-engine",
            "wi-report",
            "wi-images",
            "wi-serve",
            "wi-target-embedded",
            "wi-target-kind",
            "wi-target-azure",
            "wi-embedded-cluster",
            "wi-process-node",
            "wi-azure-emulator",
            "wi-reference-webhook",
            "wi-reference-proxy",
            "wi-admission-policy",
            "wi-quickstart",
        ],
    ),
    (
        "harness/cli",
        "wi-conformance",
        &[
            "wi-suite",
            "wi-model",
            "wi-engine",
            "wi-report",
            "wi-images",
            "wi-serve",
            "wi-target-embedded",
            "wi-target-kind",
            "wi-target-azure",
            "wi-embedded-cluster",
            "wi-process-node",
            "wi-azure-emulator",
            "wi-reference-webhook",
            "wi-reference-proxy",
            "wi-admission-policy",
            "wi-quickstart",
        ],
    ),
    ("fixtures/serve", "wi-serve", &[]),
    ("fixtures/embedded-cluster", "wi-embedded-cluster", &["wi-serve"]),
    ("fixtures/process-node", "wi-process-node", &["wi-serve"]),
    ("fixtures/azure-emulator", "wi-azure-emulator", &["wi-serve"]),
    ("fixtures/reference-webhook", "wi-reference-webhook", &["wi-serve"]),
    ("fixtures/reference-proxy", "wi-reference-proxy", &["wi-serve"]),
    ("fixtures/admission-policy", "wi-admission-policy", &["wi-serve"]),
    ("fixtures/quickstart/rust", "wi-quickstart", &["wi-serve"]),
];

/// What the model may not touch: no runtime, no client, no clock, no environment, no files.
const MODEL_FORBIDS: &[&str] = &[
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "tokio",
    "kube::",
    "reqwest",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// Files below a folder with an extension, build output left out.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if !["target", ".git", "reports"].contains(&entry.file_name().to_str().unwrap()) {
                found.extend(files(&path, extension));
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_crate_imports_only_what_the_arrows_allow() {
    for (folder, name, allowed) in ARROWS {
        let manifest = read(root().join(folder).join("Cargo.toml"));
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{folder} is not {name}");
        for (_, other, _) in ARROWS {
            let imported = manifest.lines().any(|line| {
                let key = line.split(['.', ' ', '=']).next().unwrap_or_default();
                key == *other && line.contains("workspace")
            });
            assert!(!imported || allowed.contains(other), "{name} may not import {other}");
        }
    }
    let members = read(root().join("Cargo.toml"));
    for (folder, _, _) in ARROWS {
        assert!(members.contains(&format!("\"{folder}\"")), "{folder} is no member");
    }
}

#[test]
fn no_source_file_is_longer_than_an_idea() {
    for path in files(&root(), "rs") {
        let lines = read(&path).lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines; split it by idea", path.display());
    }
}

#[test]
fn file_names_state_an_idea() {
    for path in files(&root(), "rs") {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            !["utils", "util", "helpers", "helper", "common", "misc", "imp"].contains(&stem),
            "{}: name the idea",
            path.display()
        );
    }
}

#[test]
fn the_engine_cannot_spell_where_it_is() {
    for path in
        files(&root().join("harness/engine"), "rs").into_iter().chain(files(&root().join("harness/model/src"), "rs"))
    {
        let text = read(&path).to_lowercase();
        for word in ["embedded", "emulat", "\"kind-", "--kind", "kind cluster", " aks", "\"aks", "aks_"] {
            assert!(
                !text.contains(word),
                "{} says `{word}`; a difference between targets is a capability",
                path.display()
            );
        }
    }
}

#[test]
fn the_model_is_pure() {
    for path in files(&root().join("harness/model/src"), "rs") {
        let text = read(&path);
        for word in MODEL_FORBIDS {
            assert!(!text.contains(word), "{} uses `{word}`", path.display());
        }
    }
}

#[test]
fn the_architecture_page_names_every_crate_and_every_file_that_it_names_exists() {
    let page = read(root().join("ARCHITECTURE.md"));
    for (folder, name, _) in ARROWS {
        assert!(page.contains(&format!("`{name}`")) && page.contains(&format!("`{folder}`")), "{name} is missing");
    }
    for quoted in page.split('`').skip(1).step_by(2) {
        let is_path = quoted.contains('/') && !quoted.contains(['*', ' ', ':', '<']) && !quoted.starts_with('/');
        let is_path =
            is_path && ["harness/", "fixtures/", "scenarios/", "examples/"].iter().any(|top| quoted.starts_with(top));
        assert!(!is_path || root().join(quoted).exists(), "ARCHITECTURE.md names {quoted}, which does not exist");
    }
}

#[test]
fn the_readme_tells_the_exit_codes_as_they_are() {
    let page = read(root().join("README.md"));
    for (exit, _) in wi_conformance::Exit::ALL {
        assert!(page.contains(&format!("\n| {} | ", exit.code())), "exit code {} is missing", exit.code());
    }
}

/// The catalogue, read as the program reads it.
fn catalogue() -> wi_model::catalogue::Catalogue {
    let path = root().join("scenarios/requirements.yaml");
    wi_model::catalogue::requirements("requirements.yaml", read(path).as_bytes()).unwrap()
}

/// The requirements that each scenario names, by its path.
fn named() -> BTreeMap<String, Vec<String>> {
    let folder = root().join("scenarios");
    let scenarios = files(&folder, "yaml").into_iter().filter(|path| {
        path.parent() != Some(folder.as_path()) && path.components().all(|part| part.as_os_str() != "manifests")
    });
    scenarios
        .map(|path| {
            let shown = path.display().to_string();
            let scenario = wi_model::parse::scenario(&shown, read(&path).as_bytes());
            let scenario = scenario.unwrap_or_else(|faults| panic!("{faults:?}"));
            (shown, scenario.requirements.into_iter().map(|id| id.value).collect())
        })
        .collect()
}

#[test]
fn the_catalogue_is_whole_and_says_where_each_requirement_is_from() {
    let all = catalogue();
    assert!(all.len() >= 163, "the catalogue has shrunk to {}", all.len());
    let essential = all.values().filter(|requirement| requirement.essential).count();
    assert!(essential >= 44, "only {essential} requirements are essential");
    for (id, requirement) in &all {
        let numbered = id.rsplit_once('-').is_some_and(|(area, number)| {
            !area.is_empty() && area.chars().all(|c| c.is_ascii_uppercase()) && number.parse::<u16>().is_ok()
        });
        assert!(numbered, "{id}: an id is an area and a number, as in MUT-001");
        assert!(requirement.statement.ends_with('.'), "{id}: a statement is a sentence");
        assert!(requirement.source.starts_with("https://"), "{id}: name a public source");
        assert!(requirement.elsewhere.as_ref().is_none_or(|what| !what.is_empty()), "{id}: say what it takes");
    }
}

#[test]
fn every_scenario_names_requirements_and_only_such_as_the_catalogue_holds() {
    let (all, named) = (catalogue(), named());
    assert!(named.len() >= 13, "the scenarios have shrunk to {}", named.len());
    for (scenario, ids) in named {
        assert!(!ids.is_empty(), "{scenario} names no requirement");
        for id in ids {
            assert!(all.contains_key(&id), "{scenario} names {id}, which requirements.yaml does not hold");
        }
    }
}

#[test]
fn every_requirement_that_matters_and_can_be_shown_here_has_a_scenario() {
    let named: BTreeSet<String> = named().into_values().flatten().collect();
    let owed = catalogue().into_iter().filter(|(_, requirement)| requirement.owed()).map(|(id, _)| id);
    let missing: Vec<String> = owed.filter(|id| !named.contains(id)).collect();
    assert!(missing.is_empty(), "they can be shown here, and no scenario does: {missing:?}");
}

#[test]
fn the_vocabulary_stays_small_and_every_word_is_explained() {
    let guide = read(root().join("scenarios/README.md"));
    let schema = serde_json::to_value(wi_model::schema::scenario()).unwrap();
    let words = |of: &str| -> Vec<String> {
        let one_of = schema["$defs"][of]["oneOf"].as_array().unwrap().iter();
        one_of.flat_map(|one| one["properties"].as_object().unwrap().keys().cloned()).collect()
    };
    let (done, state) = ([words("Step"), words("Expectation")].concat(), words("ClusterState"));
    let count = done.len() + state.len();
    assert!((30..40).contains(&count), "{count} words: {done:?} {state:?}");
    // What is done and expected has a row of a table, several words with commas between them at most.
    let rows: Vec<&str> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(|row| row.split(", "))
        .collect();
    for word in done {
        assert!(rows.contains(&format!("`{word}`").as_str()), "scenarios/README.md has no row for `{word}`");
    }
    for word in state {
        assert!(guide.contains(&format!("`{word}`")), "scenarios/README.md does not explain `{word}`");
    }
}
