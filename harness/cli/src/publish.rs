//! Reports brought to their readers: the terminal, GitHub, and again from the log.

use std::io::Write;
use std::path::{Component, Path, PathBuf};

use wi_conformance::console::ForPeople;
use wi_conformance::reports::{self, LOG, OutFolder};
use wi_conformance::run;
use wi_conformance::{Exit, Stop};
use wi_model::record::RunRecord;
use wi_serve::input;

use crate::args::{GithubArgs, ReportArgs};

/// Tells how a run went, here and on GitHub.
pub(crate) fn tell(record: &RunRecord, out: &Path, people: ForPeople, github: &GithubArgs) -> Result<(), Stop> {
    people.line(wi_report::text(record));
    people.line(format!(
        "reports: {0}/report.html, {0}/junit.xml, {0}/report.json, evidence in {0}/cases/",
        out.display()
    ));
    if github.github_actions.as_deref() == Some("true") {
        let root = github.github_workspace.clone();
        let place = |file: &str| in_repository(file, root.as_deref());
        wi_report::annotations(record, &place).iter().for_each(|line| people.exact(line));
    }
    match &github.github_step_summary {
        Some(path) if !path.as_os_str().is_empty() => summarise(record, path),
        _ => Ok(()),
    }
}

/// Adds to the job summary what there is room for: one that is too large is thrown away as a whole.
fn summarise(record: &RunRecord, path: &Path) -> Result<(), Stop> {
    let fault = |error: std::io::Error| {
        Stop::new(Exit::Usage, format!("GITHUB_STEP_SUMMARY: {}: cannot be written: {error}", path.display()))
    };
    let taken = path.metadata().map_or(0, |metadata| usize::try_from(metadata.len()).unwrap_or(usize::MAX));
    let page = wi_report::markdown(record, wi_report::SUMMARY_LIMIT.saturating_sub(taken));
    let mut file = std::fs::File::options().create(true).append(true).open(path).map_err(fault)?;
    file.write_all(page.as_bytes()).map_err(fault)
}

/// A file as GitHub knows it: relative to the repository, where it is in there.
fn in_repository(file: &str, root: Option<&Path>) -> String {
    let inside = root.and_then(|root| {
        let whole = std::path::absolute(file).ok()?;
        Some(whole.strip_prefix(std::path::absolute(root).ok()?).ok()?.to_string_lossy().into_owned())
    });
    inside.unwrap_or_else(|| file.to_owned())
}

/// Makes reports again from logs.
pub(crate) fn report(args: &ReportArgs) -> Result<Exit, Stop> {
    let (out, path) = match (args.folders.as_slice(), &args.out) {
        ([folder], None) => (take(folder)?, folder.clone()),
        (_, None) => {
            return Err(Stop::new(
                Exit::Usage,
                "merging several runs needs a folder for the result; choose one with --out",
            ));
        }
        (folders, Some(path)) => (merged(folders, path)?, path.clone()),
    };
    let record = out.report()?;
    tell(&record, &path, ForPeople::Output, &args.github)?;
    Ok(run::exit(&record))
}

fn take(folder: &Path) -> Result<OutFolder, Stop> {
    // A folder without a log is not made ours.
    reports::read(folder)?;
    OutFolder::take(folder)
}

/// A folder with the logs of several runs as one, and the evidence of all of them.
fn merged(folders: &[PathBuf], path: &Path) -> Result<OutFolder, Stop> {
    let fault =
        |path: &Path, error: &dyn std::fmt::Display| Stop::new(Exit::Usage, format!("{}: {error}", path.display()));
    let mut runs = Vec::new();
    for folder in folders {
        let log = folder.join(LOG);
        let bytes = input::read(&log, input::LOG).map_err(|error| fault(&log, &error))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let record = wi_report::fold(&text).map_err(|error| fault(&log, &error))?;
        if path.canonicalize().is_ok_and(|out| folder.canonicalize().is_ok_and(|folder| folder == out)) {
            return Err(fault(
                path,
                &"it is one of the folders to merge and would be emptied; choose another with --out",
            ));
        }
        runs.push((record, text, folder));
    }
    // What ran last is on top.
    runs.sort_by(|a, b| (&a.0.started, &a.0.run).cmp(&(&b.0.started, &b.0.run)));
    let logs: Vec<String> = runs.iter().map(|(_, text, _)| text.clone()).collect();
    let log = wi_report::concatenate(&logs, &jiff::Timestamp::now().to_string());
    // Runs that do not belong together leave the folder as it is.
    wi_report::fold(&log).map_err(|error| fault(path, &error))?;
    let out = OutFolder::claim(path)?;
    for (record, _, folder) in &runs {
        for evidence in record.cases.iter().filter_map(|case| case.evidence.as_deref()) {
            let plain = Path::new(evidence).components().all(|part| matches!(part, Component::Normal(_)));
            let (from, to) = (folder.join(evidence), path.join(evidence));
            if plain && from.is_dir() {
                let _ = std::fs::remove_dir_all(&to);
                copy(&from, &to).map_err(|error| fault(&to, &error))?;
            }
        }
    }
    out.write(LOG, &log)?;
    Ok(out)
}

/// Copies a folder of plain files; a link in it is not followed.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
