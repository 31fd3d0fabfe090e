//! What the model says that a webhook must make of a pod, beside what the upstream one was recorded to make of it.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test itself does")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use wi_model::injection::Layout;
use wi_model::mutation::{Settings, compare, expected};

/// Where the upstream webhook does otherwise than is required of it: file, case, why. One that is gone must leave.
const DEVIATIONS: &[(&str, &str, &str)] = &[
    ("v1.5.1", "unknown-pod-field", "fields that the webhook does not know must survive; upstream loses them"),
    ("v1.6.0", "unknown-pod-field", "fields that the webhook does not know must survive; upstream loses them"),
];

/// The flags and variables of a recording.
fn values(header: &Value) -> BTreeMap<String, String> {
    let env = header["env"].as_object().unwrap().iter();
    let mut values: BTreeMap<String, String> =
        env.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
    for argument in header["args"].as_array().unwrap() {
        let (flag, value) = argument.as_str().unwrap().trim_start_matches('-').split_once('=').unwrap();
        values.insert(flag.to_owned(), value.to_owned());
    }
    values
}

fn difference(case: &Value, settings: &Settings, layout: &Layout, namespace: &str) -> Option<String> {
    let (before, allowed) = (&case["pod"], case["allowed"] == true);
    if case["serviceAccount"].is_null() {
        return None;
    }
    match (expected(before, &case["serviceAccount"], settings, layout), allowed) {
        (Ok(wanted), true) => {
            let mut observed = case["mutated"].clone();
            if before["metadata"]["namespace"].is_null() && observed["metadata"]["namespace"] == namespace {
                observed["metadata"].as_object_mut().unwrap().remove("namespace");
            }
            compare(before, &wanted, &observed).first().map(ToString::to_string)
        }
        (Err(refused), false) => {
            let message = case["status"]["message"].as_str().unwrap();
            (refused.message != message).then(|| format!("{} / {message}", refused.message))
        }
        (wanted, _) => Some(format!("{wanted:?} / allowed {allowed}: {}", case["status"])),
    }
}

#[test]
fn every_recorded_answer_is_as_required_or_a_known_deviation() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/reference-webhook/tests/recordings");
    let mut stale: BTreeSet<(&str, &str)> = DEVIATIONS.iter().map(|(file, case, _)| (*file, *case)).collect();
    let (mut compared, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let file = entry.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&entry).unwrap();
        let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let header = lines.next().unwrap();
        let text = |field: &str| header[field].as_str().unwrap().to_owned();
        let profile = if text("webhook").starts_with("1.5") { "1.5" } else { "1.6" };
        let layout = Layout::of(profile).unwrap();
        let authority = "https://login.microsoftonline.com/";
        let settings = Settings::of(&values(&header), &text("tenant"), authority, &text("kubernetes"));
        for case in lines {
            compared += 1;
            let name = case["case"].as_str().unwrap();
            // Asking for no proxy brings one upstream, and a CA given as data is named as a file too.
            let deviates = case["pod"]["metadata"]["annotations"]["azure.workload.identity/inject-proxy-sidecar"]
                == "false"
                || header["env"].get("AZURE_KUBERNETES_CA_DATA").is_some();
            let Some(why) = difference(&case, &settings, &layout, &text("namespace")) else { continue };
            let known = DEVIATIONS.iter().any(|(of, case, _)| *of == file && *case == name);
            stale.retain(|known| *known != (file.as_str(), name));
            if !known && !deviates {
                wrong.push(format!("{file} {name}: {why}"));
            }
        }
    }
    assert!(compared > 90, "only {compared} recordings were compared");
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    // The recordings of a version may lack a case; those that are here must show one of them.
    assert!(stale.len() < DEVIATIONS.len(), "deviations that no recording shows: {stale:?}");
}
