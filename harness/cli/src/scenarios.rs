//! A folder of scenario files: one behaviour a file, path = id.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wi_model::catalogue::{self, Catalogue, Deviation};
use wi_model::parse::{self, InvalidScenario};
use wi_model::plan::Case;
use wi_model::scenario::LoadedObject;
use wi_model::{located::Position, manifest, parse::Reason};

use crate::input;

/// Everything that a folder of scenarios holds.
#[derive(Debug, Clone)]
pub(crate) struct Suite {
    /// The cases, in order of id.
    pub(crate) cases: Vec<Case>,
    /// The register of known deviations.
    pub(crate) deviations: Vec<Deviation>,
    /// The requirements that they may name.
    pub(crate) requirements: Catalogue,
}

/// Loads a folder. Every fault of every file is reported, not just the first.
///
/// # Errors
/// The faults, in order of path.
pub(crate) fn load(folder: &Path, saboteurs: &[&str]) -> Result<Suite, Vec<InvalidScenario>> {
    let shown = |path: &Path| path.display().to_string();
    if !folder.is_dir() {
        let advice = "no such folder; name the folder of scenarios with --scenarios";
        return Err(vec![catalogue::unreadable(&shown(folder), advice)]);
    }
    let requirements_path = folder.join("requirements.yaml");
    let requirements = read(&requirements_path)
        .and_then(|bytes| catalogue::requirements(&shown(&requirements_path), &bytes))
        .map_err(|fault| vec![fault])?;
    let deviations_path = folder.join("deviations.yaml");
    let deviations = if deviations_path.exists() {
        read(&deviations_path)
            .and_then(|bytes| catalogue::deviations(&shown(&deviations_path), &bytes))
            .map_err(|fault| vec![fault])?
    } else {
        Vec::new()
    };

    let mut files = Vec::new();
    walk(folder, &mut files).map_err(|fault| vec![fault])?;
    let mut faults = Vec::new();
    let mut cases: BTreeMap<String, Case> = BTreeMap::new();
    for path in files {
        let id = id(folder, &path);
        if let Some(first) = cases.get(&id) {
            let reason = Reason::Twice("id", format!("{id}` (also {})", first.file).trim_end_matches('`').to_owned());
            faults.push(InvalidScenario::new(&shown(&path), Position::default(), reason));
            continue;
        }
        match case(&id, &path, &requirements, saboteurs) {
            Ok(case) => _ = cases.insert(id, case),
            Err(fault) => faults.push(fault),
        }
    }
    for deviation in &deviations {
        if !cases.contains_key(&deviation.scenario) && faults.is_empty() {
            let reason =
                Reason::Unknown("scenario", deviation.scenario.clone(), "; deviations.yaml names it".to_owned());
            faults.push(InvalidScenario::new(&shown(&deviations_path), Position::default(), reason));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Suite { cases: cases.into_values().collect(), deviations, requirements })
}

fn case(id: &str, path: &Path, requirements: &Catalogue, saboteurs: &[&str]) -> Result<Case, InvalidScenario> {
    let shown = path.display().to_string();
    let mut scenario = parse::scenario(&shown, &read(path)?)?;
    catalogue::check(&shown, &scenario, requirements, saboteurs)?;
    let beside = path.parent().unwrap_or(Path::new("."));
    for manifests in parse::manifests_mut(&mut scenario) {
        for file in manifests.files.clone() {
            let manifest_path = beside.join(&file.value);
            let bytes = read(&manifest_path)
                .map_err(|fault| InvalidScenario::new(&shown, file.at, Reason::Yaml(fault.to_string())))?;
            let manifest_shown = manifest_path.display().to_string();
            let objects = manifest::objects(&manifest_shown, parse::text(&manifest_shown, &bytes)?)?;
            let loaded = objects.into_iter().map(|object| LoadedObject { file: file.value.clone(), object });
            manifests.loaded.extend(loaded);
        }
    }
    parse::check_loaded(&shown, &scenario)?;
    Ok(Case { id: id.to_owned(), file: shown, scenario, sabotage: None })
}

/// Folder and stem, with `/` on every system.
fn id(folder: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(folder).unwrap_or(path).with_extension("");
    relative.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn read(path: &Path) -> Result<Vec<u8>, InvalidScenario> {
    let shown = path.display().to_string();
    input::read(path, parse::MAX_BYTES as u64).map_err(|error| catalogue::unreadable(&shown, error))
}

/// Scenario files below a folder, in order. Files at the top are the catalogue; folders called `manifests` hold
/// manifests. A link to a folder is followed, unless it leads to one that it lies in.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), InvalidScenario> {
    fn below(folder: &Path, above: &mut Vec<PathBuf>, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
        let real = folder.canonicalize()?;
        if above.contains(&real) {
            let what = format!("{} leads back to a folder that it lies in; remove that link", folder.display());
            return Err(std::io::Error::other(what));
        }
        let top = above.is_empty();
        above.push(real);
        let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            if path.is_dir() {
                if entry.file_name() != "manifests" {
                    below(&path, above, files)?;
                }
            } else if !top && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                files.push(path);
            }
        }
        above.pop();
        Ok(())
    }
    below(folder, &mut Vec::new(), files).map_err(|error| catalogue::unreadable(&folder.display().to_string(), error))
}
