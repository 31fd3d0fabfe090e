//! The folder of reports: who may write to it, its log, and the reports that are made from the log.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use wi_model::record::{Record, RunRecord};
use wi_model::redact::Redactor;
use wi_model::secret::Secret;
use wi_report::{Event, LARGEST_DOCUMENT, Shapes};
use wi_serve::input;

use crate::console;
use crate::exit::{Exit, Stop};

/// The log of a run; every report is made from it.
pub const LOG: &str = "events.jsonl";

/// Marks a folder as ours, so that no other is ever emptied.
const MARK: &str = ".wi-conformance";

/// The largest file of evidence that is read to be compared.
const LARGEST_EVIDENCE: u64 = 16 * 1024 * 1024;

/// What is made from the log.
pub const REPORTS: [&str; 4] = ["report.json", "junit.xml", "report.html", "summary.md"];

/// A folder of reports, ours alone while this lasts.
pub struct OutFolder {
    path: PathBuf,
    _lock: File,
}

impl OutFolder {
    /// Takes a folder, empties what an earlier run left in it, and keeps other runs out.
    pub fn claim(path: &Path) -> Result<Self, Stop> {
        std::fs::create_dir_all(path).map_err(|error| usage(path, format!("cannot be made: {error}")))?;
        let mut entries = std::fs::read_dir(path).map_err(|error| usage(path, format!("cannot be read: {error}")))?;
        if !path.join(MARK).exists() && entries.next().is_some() {
            return Err(usage(path, "is not a report directory; refusing to delete its contents".to_owned()));
        }
        let out = Self::take(path)?;
        for old in REPORTS.into_iter().chain([LOG]) {
            let _ = std::fs::remove_file(path.join(old));
        }
        let cases = path.join("cases");
        if cases.exists() {
            std::fs::remove_dir_all(&cases)
                .map_err(|error| usage(path, format!("cases/ cannot be emptied: {error}")))?;
        }
        Ok(out)
    }

    /// Takes a folder as it is, to make its reports again.
    pub fn take(path: &Path) -> Result<Self, Stop> {
        let lock = File::options().create(true).truncate(false).write(true).open(path.join(MARK));
        let lock = lock.map_err(|error| usage(path, format!("cannot be written: {error}")))?;
        lock.try_lock().map_err(|_| usage(path, "another run writes to it".to_owned()))?;
        Ok(OutFolder { path: path.to_owned(), _lock: lock })
    }

    /// Makes every report from the log.
    pub fn report(&self) -> Result<RunRecord, Stop> {
        let record = read(&self.path)?;
        self.write("report.json", &wi_report::json(&record))?;
        self.write("junit.xml", &wi_report::junit(&record))?;
        let redactor = Redactor::default();
        let document = |case: &Record, name: &str| {
            document(&self.path, case, name, LARGEST_DOCUMENT).map(|text| redactor.text(&text))
        };
        self.write("report.html", &wi_report::html(&record, &document))?;
        self.write("summary.md", &wi_report::markdown(&record, wi_report::SUMMARY_LIMIT))?;
        Ok(record)
    }

    /// Writes a file whole or not at all.
    pub fn write(&self, name: &str, text: &str) -> Result<(), Stop> {
        let path = self.path.join(name);
        let fresh = self.path.join(format!("{name}.new"));
        std::fs::write(&fresh, text)
            .and_then(|()| std::fs::rename(&fresh, &path))
            .map_err(|error| usage(&path, format!("cannot be written: {error}")))
    }
}

fn usage(path: &Path, what: String) -> Stop {
    Stop::new(Exit::Usage, format!("{}: {what}; name another folder with --out", path.display()))
}

/// The record of a folder of reports, from its log or, where only that was kept, its `report.json`; or of a file.
pub fn read(path: &Path) -> Result<RunRecord, Stop> {
    let fault = |path: &Path, why: String| Stop::new(Exit::Usage, format!("{}: {why}", path.display()));
    let log = path.join(LOG);
    if path.is_dir() && !log.exists() && path.join("report.json").exists() {
        return read(&path.join("report.json"));
    }
    if path.is_dir() {
        let bytes = input::read(&log, input::LOG).map_err(|error| fault(&log, error.to_string()))?;
        return wi_report::fold(&String::from_utf8_lossy(&bytes)).map_err(|error| fault(&log, error.to_string()));
    }
    let text = input::read_text(path, input::LOG).map_err(|error| fault(path, error.to_string()))?;
    if path.extension().is_some_and(|extension| extension == "jsonl") {
        return wi_report::fold(&text).map_err(|error| fault(path, error.to_string()));
    }
    wi_report::read(&text).map_err(|why| fault(path, why))
}

/// A file of a case's evidence of at most so many bytes. A record may come from anywhere, so no name in it leads out of
/// the folder.
fn document(folder: &Path, case: &Record, artefact: &str, largest: u64) -> Option<String> {
    let inside = Path::new(case.evidence.as_ref()?).join(artefact);
    let plain = inside.components().all(|part| matches!(part, Component::Normal(_)));
    let path = folder.join(inside);
    let small = path.symlink_metadata().is_ok_and(|it| it.is_file() && it.len() <= largest);
    if plain && small { std::fs::read_to_string(path).ok() } else { None }
}

/// The shape of the evidence of every case of a folder of reports that has any.
///
/// # Errors
/// It has none at all: then nothing would be compared.
pub fn shapes(path: &Path, run: &RunRecord) -> Result<Shapes, Stop> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
    let mut shapes = Shapes::new();
    for case in &run.cases {
        let mut shape = BTreeSet::new();
        for artefact in case.artefacts.iter().filter(|name| *name != "case.json") {
            if let Some(text) = document(folder, case, artefact, LARGEST_EVIDENCE) {
                wi_report::add_shape(&mut shape, artefact, &text);
            }
        }
        if !shape.is_empty() {
            shapes.insert(case.id.clone(), shape);
        }
    }
    if shapes.is_empty() {
        let what = format!("{}: expected evidence in cases/, found none", folder.display());
        return Err(Stop::new(Exit::Usage, what));
    }
    Ok(shapes)
}

/// The log while a run goes: each event is in the file before the run goes on.
pub struct Journal {
    state: Mutex<State>,
    path: PathBuf,
    /// Whether lines go to standard output too.
    spoken: bool,
}

struct State {
    file: File,
    secrets: Vec<Secret>,
    redactor: Redactor,
    fault: Option<std::io::Error>,
}

impl Journal {
    /// Begins the log of a claimed folder.
    pub fn open(out: &OutFolder, spoken: bool, secrets: Vec<Secret>) -> Result<Self, Stop> {
        let path = out.path.join(LOG);
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(|error| usage(&path, format!("cannot be written: {error}")))?;
        let redactor = Redactor::new(secrets.clone());
        Ok(Journal { state: Mutex::new(State { file, secrets, redactor, fault: None }), path, spoken })
    }

    /// Secrets that became known, and must be in no later line.
    pub fn learn(&self, secrets: Vec<Secret>) {
        if let Ok(mut state) = self.state.lock() {
            state.secrets.extend(secrets);
            state.redactor = Redactor::new(state.secrets.clone());
        }
    }

    /// Writes an event, a line in one piece.
    pub fn tell(&self, event: &Event) {
        let Ok(mut state) = self.state.lock() else { return };
        let line = wi_report::line(event, jiff::Timestamp::now().to_string(), &state.redactor);
        if let Err(error) = state.file.write_all(line.as_bytes()).and_then(|()| state.file.flush()) {
            state.fault.get_or_insert(error);
        }
        if self.spoken {
            console::data(line.trim_end());
        }
    }

    /// Ends the log.
    ///
    /// # Errors
    /// An event could not be written: reports would not tell everything.
    pub fn close(self) -> Result<(), Stop> {
        let fault = self.state.into_inner().ok().and_then(|state| state.fault);
        fault.map_or(Ok(()), |error| {
            Err(usage(&self.path, format!("cannot be written, so the reports would be incomplete: {error}")))
        })
    }
}
