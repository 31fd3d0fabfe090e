//! `--watch`: what a changed file concerns runs again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;
use wi_conformance::scenarios::Source;
use wi_conformance::{Exit, Stop, console};
use wi_model::parse;
use wi_model::plan::Case;

use crate::args::{Global, RunArgs, TargetName};
use crate::commands::run_selected;
use crate::signal;

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(400);

/// Files with the time of their last change and their length.
type Seen = BTreeMap<PathBuf, (SystemTime, u64)>;

/// Runs the selection, and again what each change concerns, until it is interrupted.
pub(crate) async fn watch(args: RunArgs, global: &Global) -> Result<Exit, Stop> {
    let usage = |why: &str| Err(Stop::new(Exit::Usage, format!("--watch: {why}")));
    if args.select.target.target != TargetName::Embedded {
        return usage("only the embedded target starts fast enough to run again at each change");
    }
    let folders: Vec<PathBuf> = args.select.suite.from.sources().into_iter().filter_map(folder).collect();
    if folders.is_empty() {
        return usage("the suite in this program does not change; name a folder with --scenarios");
    }
    let over = CancellationToken::new();
    let signals = signal::watch(&over);
    let mut concerned: Option<Vec<PathBuf>> = None;
    loop {
        let seen = look(&folders);
        let changed = concerned.clone();
        let ended =
            run_selected(args.clone(), global, &|case| changed.as_ref().is_none_or(|files| concerns(case, files)))
                .await;
        match ended {
            Ok(Exit::Interrupted) => break,
            Ok(_) => {}
            // A file that is half written is mended by the next change.
            Err(stop) if stop.exit == Exit::Usage || stop.exit == Exit::NothingRan => {
                stop.lines.iter().for_each(|line| console::tell(format!("wi-conformance: {line}")));
            }
            Err(stop) => return Err(stop),
        }
        console::tell("watching for changes; Ctrl-C ends");
        let Some(files) = over.run_until_cancelled(changed_since(&folders, &seen)).await else { break };
        for file in &files {
            console::tell(format!("changed: {}", file.display()));
        }
        concerned = Some(files);
    }
    signals.abort();
    Ok(Exit::Interrupted)
}

fn folder(source: Source) -> Option<PathBuf> {
    match source {
        Source::Folder(folder) => Some(folder),
        Source::BuiltIn => None,
    }
}

/// Waits until files are other ones than before, and for a moment in which nothing more changes.
async fn changed_since(folders: &[PathBuf], before: &Seen) -> Vec<PathBuf> {
    let mut looks = tokio::time::interval(LOOK);
    let mut last = before.clone();
    loop {
        looks.tick().await;
        let now = look(folders);
        let files = differing(before, &now);
        if !files.is_empty() && now == last {
            return files;
        }
        last = now;
    }
}

fn differing(before: &Seen, now: &Seen) -> Vec<PathBuf> {
    let changed = now.iter().filter(|(path, seen)| before.get(*path) != Some(seen)).map(|(path, _)| path);
    let gone = before.keys().filter(|path| !now.contains_key(*path));
    changed.chain(gone).cloned().collect()
}

/// Every file below the folders that is not hidden.
fn look(folders: &[PathBuf]) -> Seen {
    let mut seen = Seen::new();
    let mut open: Vec<PathBuf> = folders.to_vec();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            // A link is not followed: it may lead round.
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && !hidden {
                // Reports that a run writes below the folder are no change of it.
                if !entry.path().join("events.jsonl").is_file() {
                    open.push(entry.path());
                }
            } else if let (true, Ok(metadata)) = (kind.is_file() && !hidden, entry.metadata()) {
                let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                seen.insert(entry.path(), (changed, metadata.len()));
            }
        }
    }
    seen
}

/// Whether a case comes out of one of these files: it is its scenario, one of its manifests, or something of the whole suite.
fn concerns(case: &Case, files: &[PathBuf]) -> bool {
    let scenario = Path::new(&case.file);
    let beside = scenario.parent().unwrap_or(Path::new(""));
    let manifests: Vec<PathBuf> = parse::manifests(&case.scenario)
        .flat_map(|manifests| &manifests.files)
        .map(|file| plain(&beside.join(&file.value)))
        .collect();
    files.iter().any(|file| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let of_suite = ["suite.yaml", "requirements.yaml", "deviations.yaml"].contains(&name);
        of_suite || plain(file) == plain(scenario) || manifests.contains(&plain(file))
    })
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if plain.file_name().is_some() => _ = plain.pop(),
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case() -> Case {
        let text = "title: t\nwhen:\n  - apply: { files: [ ../k8s/web.yaml ] }\nthen:\n  - object: { kind: Pod, name: p, absent: true }\n";
        let scenario = parse::scenario("s.yaml", text.as_bytes()).unwrap();
        Case { id: "a/s".into(), file: "./suite/a/s.yaml".into(), scenario, sabotage: None, variation: Vec::new() }
    }

    #[test]
    fn a_case_is_concerned_by_its_own_file_its_manifests_and_what_the_suite_shares() {
        for (file, expected) in [
            ("suite/a/s.yaml", true),
            ("./suite/k8s/web.yaml", true),
            ("suite/suite.yaml", true),
            ("suite/a/other.yaml", false),
            ("suite/k8s/api.yaml", false),
        ] {
            assert_eq!(concerns(&case(), &[file.into()]), expected, "{file}");
        }
    }

    #[test]
    fn what_was_written_made_or_removed_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("a.yaml"), "1").unwrap();
        std::fs::write(file("b.yaml"), "1").unwrap();
        std::fs::write(file(".hidden"), "1").unwrap();
        let before = look(&[folder.path().to_owned()]);
        std::fs::write(file("a.yaml"), "12").unwrap();
        std::fs::write(file("c.yaml"), "1").unwrap();
        std::fs::create_dir(file("reports")).unwrap();
        std::fs::write(file("reports/events.jsonl"), "1").unwrap();
        std::fs::write(file(".hidden"), "12").unwrap();
        std::fs::remove_file(file("b.yaml")).unwrap();
        let mut changed = differing(&before, &look(&[folder.path().to_owned()]));
        changed.sort();
        assert_eq!(changed, [file("a.yaml"), file("b.yaml"), file("c.yaml")]);
    }
}
