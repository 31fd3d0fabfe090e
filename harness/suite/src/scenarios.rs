//! A suite of scenario files: one behaviour a file, path = id.

mod source;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use wi_model::catalogue::{self, Catalogue};
use wi_model::parse::{self, InvalidScenario};
use wi_model::plan::Case;
use wi_model::register::{self, Deviation};
use wi_model::scenario::LoadedObject;
use wi_model::{located::Position, manifest, parse::Reason};

pub use source::Source;

/// Everything that a suite holds.
#[derive(Debug, Clone, Default)]
pub struct Suite {
    /// The cases, in order of id.
    pub cases: Vec<Case>,
    /// The register of known deviations.
    pub deviations: Vec<Deviation>,
    /// The requirements that they may name; empty where the suite keeps no catalogue.
    pub requirements: Catalogue,
    /// Which program each image of its manifests stands for.
    pub images: Vec<(String, String)>,
    /// Notices about deprecated keys.
    pub notices: Vec<String>,
    /// What is wrong with files that are not among the cases, in order of path.
    pub faults: Vec<InvalidScenario>,
}

/// What may be said of a whole suite, in `suite.yaml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct SuiteFile {
    pods: SuitePods,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct SuitePods {
    /// Programs for image names: a built-in image, or a path beside the file.
    images: BTreeMap<String, String>,
}

/// How a suite is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The mutants that a scenario may name.
    pub mutants: &'a [&'a str],
    /// Whether each scenario must name requirements of a catalogue, and mutants.
    pub strict: bool,
}

/// Loads suites as one. Every fault of every file is told; a file that has one is left out.
pub fn load(sources: &[Source], reading: Reading<'_>) -> Suite {
    let mut suite = Suite::default();
    for source in sources {
        let read = load_one(source, reading);
        for case in read.cases {
            match suite.cases.iter().find(|known| known.id == case.id) {
                Some(first) => suite.faults.push(twice(&case.file, &case.id, &first.file)),
                None => suite.cases.push(case),
            }
        }
        suite.deviations.extend(read.deviations);
        suite.requirements.extend(read.requirements);
        suite.images.extend(read.images);
        suite.notices.extend(read.notices);
        suite.faults.extend(read.faults);
    }
    suite.cases.sort_by(|a, b| a.id.cmp(&b.id));
    suite
}

fn twice(path: &str, id: &str, first: &str) -> InvalidScenario {
    let reason = Reason::Twice("id", format!("{id}` (also {first})").trim_end_matches('`').to_owned());
    InvalidScenario::new(path, Position::default(), reason)
}

fn load_one(source: &Source, reading: Reading<'_>) -> Suite {
    let mut suite = Suite::default();
    let files = match source.files() {
        Ok(files) => files,
        Err(fault) => return Suite { faults: vec![fault], ..suite },
    };
    let mut catalogued = None;
    let requirements = source.at("requirements.yaml");
    if source.has(&requirements) {
        let read = source.read(&requirements);
        match read.and_then(|bytes| catalogue::requirements(&shown(&requirements), &bytes)) {
            Ok(read) => catalogued = Some(read),
            Err(fault) => suite.faults.push(fault),
        }
    } else if reading.strict {
        suite.faults.push(catalogue::unreadable(&shown(&requirements), "no such file; --strict requires it"));
    }
    let deviations = source.at("deviations.yaml");
    if source.has(&deviations) {
        match source.read(&deviations).and_then(|bytes| register::deviations(&shown(&deviations), &bytes)) {
            Ok(read) => suite.deviations = read,
            Err(fault) => suite.faults.push(fault),
        }
    }
    let about = source.at("suite.yaml");
    if source.has(&about) {
        match source.read(&about).and_then(|bytes| suite_file(&shown(&about), &bytes)) {
            Ok(read) => {
                suite.images = read.pods.images.into_iter().map(|(name, of)| (name, source.program(&of))).collect()
            }
            Err(fault) => suite.faults.push(fault),
        }
    }
    let mut cases: BTreeMap<String, Case> = BTreeMap::new();
    for path in files {
        let id = source.id(&path);
        if let Some(first) = cases.get(&id) {
            suite.faults.push(twice(&shown(&path), &id, &first.file));
            continue;
        }
        match case(source, &id, &path, catalogued.as_ref(), reading, &mut suite.notices) {
            Ok(Some(case)) => _ = cases.insert(id, case),
            Ok(None) => {}
            Err(faults) => suite.faults.extend(faults),
        }
    }
    if suite.faults.is_empty() {
        let all: Vec<&Case> = cases.values().collect();
        let wrong = suite.deviations.iter().filter_map(|entry| register::fault(entry, &all));
        suite.faults.extend(wrong.map(|what| catalogue::unreadable(&shown(&deviations), what)));
    }
    suite.cases = cases.into_values().collect();
    suite.requirements = catalogued.unwrap_or_default();
    suite
}

fn suite_file(path: &str, bytes: &[u8]) -> Result<SuiteFile, InvalidScenario> {
    serde_saphyr::from_str(parse::text(path, bytes)?).map_err(|error| InvalidScenario::yaml(path, &error))
}

/// A case of a file; none where the file holds manifests.
fn case(
    source: &Source,
    id: &str,
    path: &Path,
    requirements: Option<&Catalogue>,
    reading: Reading<'_>,
    notices: &mut Vec<String>,
) -> Result<Option<Case>, Vec<InvalidScenario>> {
    let shown = shown(path);
    let bytes = source.read(path).map_err(|fault| vec![fault])?;
    if is_manifest(&bytes) || (source.is_at_the_top(path) && !is_scenario(&bytes)) {
        return Ok(None);
    }
    notices.extend(parse::renamed(&shown, &bytes));
    let (scenario, mut faults) = parse::read(&shown, &bytes);
    let Some(mut scenario) = scenario else { return Err(faults) };
    faults.extend(catalogue::check(&shown, &scenario, requirements, reading.mutants));
    if reading.strict {
        faults.extend(parse::lacking(&shown, &scenario));
    }
    let mut all_loaded = true;
    for manifests in parse::manifests_mut(&mut scenario) {
        for file in manifests.files.clone() {
            match objects(source, path, &file.value) {
                Ok(objects) => manifests.loaded.extend(objects),
                Err(more) => {
                    all_loaded = false;
                    // That it is not there is told where it is named; what is wrong in it, in it.
                    faults.extend(more.into_iter().map(|fault| match fault.at.line {
                        0 => InvalidScenario::new(&shown, file.at, Reason::Yaml(fault.to_string())),
                        _ => fault,
                    }));
                }
            }
        }
    }
    // Which pods there are is known when every file could be read.
    if all_loaded {
        faults.extend(parse::check_loaded(&shown, &scenario));
    }
    faults.sort_by(|a, b| (&a.path, a.at).cmp(&(&b.path, b.at)));
    if faults.is_empty() {
        Ok(Some(Case { id: id.to_owned(), file: shown, scenario, sabotage: None, variation: Vec::new() }))
    } else {
        Err(faults)
    }
}

fn objects(source: &Source, scenario: &Path, file: &str) -> Result<Vec<LoadedObject>, Vec<InvalidScenario>> {
    let path = scenario.parent().unwrap_or(Path::new(".")).join(file);
    let bytes = source.read(&path).map_err(|fault| vec![fault])?;
    let shown = shown(&path);
    let text = parse::text(&shown, &bytes).map_err(|fault| vec![fault])?;
    let objects = manifest::objects(&shown, text)?;
    Ok(objects.into_iter().map(|object| LoadedObject { file: file.to_owned(), object }).collect())
}

/// Whether a file holds Kubernetes objects: no scenario says so of itself.
fn is_manifest(bytes: &[u8]) -> bool {
    lines(bytes).any(|line| line.starts_with(b"apiVersion:"))
}

/// Whether a file says that it is a scenario.
fn is_scenario(bytes: &[u8]) -> bool {
    lines(bytes).any(|line| [&b"title:"[..], b"given:", b"when:", b"then:"].iter().any(|word| line.starts_with(word)))
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n')
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
