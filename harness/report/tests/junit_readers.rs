//! `junit.xml` of a nasty run, read by programs that people read such files with.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod nasty;
mod tools;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> std::process::ExitCode {
    let trials = vec![
        trial("junitparser_reads_every_case_with_its_outcome", junitparser),
        trial("junit2html_shows_every_case", junit2html),
        trial("xunit_viewer_shows_every_case", xunit_viewer),
        trial("junit_report_merger_merges_it_with_another", junit_report_merger),
        trial("the_schema_of_jenkins_knows_all_but_four_things_that_readers_want", jenkins),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, test: fn(&Path) -> Result<(), Unread>) -> Trial {
    Trial::ignorable_test(name, move || {
        let xml = wi_report::junit(&nasty::small());
        nasty::no_canary("junit.xml", &xml);
        assert!(xml.len() < 1024 * 1024, "a message of a megabyte is cut: {} bytes", xml.len());
        assert!(xml.contains("bytes in total)"), "and that is said");
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("junit.xml"), xml)?;
        match test(folder.path()) {
            Ok(()) => Ok(Completion::Completed),
            Err(Unread::NotHere(why)) => Ok(Completion::ignored_with(why)),
            Err(Unread::Wrong(why)) => Err(Failed::from(why)),
        }
    })
}

/// Why a reader did not read.
enum Unread {
    /// It cannot be had here.
    NotHere(String),
    /// It did not take what we wrote.
    Wrong(String),
}

/// Python with the readers that are written in it.
fn python() -> Result<PathBuf, Unread> {
    let made = tools::folder("junit-readers-python", |folder| {
        tools::run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
        let mut pip = Command::new(folder.join("venv/bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--timeout=20", "--retries=1"]);
        tools::run(pip.args(["junitparser==5.0.3", "junit2html==31.1.4", "xmlschema==4.3.2"]))?;
        Ok(())
    });
    let folder = made.map_err(|why| Unread::NotHere(format!("readers in Python cannot be had: {why}")))?;
    Ok(folder.join("venv/bin"))
}

fn node() -> Result<PathBuf, Unread> {
    let packages = ["xunit-viewer@10.6.1", "junit-report-merger@9.0.4"];
    let folder = tools::npm("junit-readers-node", &packages).map_err(Unread::NotHere)?;
    Ok(folder.join("node_modules/.bin"))
}

fn reads(command: &mut Command) -> Result<String, Unread> {
    let output = tools::run(command).map_err(Unread::Wrong)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    nasty::no_canary("what the reader says", &text);
    Ok(text)
}

fn read(path: impl AsRef<Path>) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    nasty::no_canary("what the reader wrote", &text);
    text
}

fn junitparser(folder: &Path) -> Result<(), Unread> {
    let script = "\
import json, sys
from junitparser import JUnitXml
suites = JUnitXml.fromfile(sys.argv[1])
cases = [[c.name, [type(r).__name__ for r in c.result], bool(c.system_out)] for s in suites for c in s]
print(json.dumps([suites.tests, suites.failures, suites.errors, suites.skipped, sorted(cases)]))
";
    let text = reads(Command::new(python()?.join("python")).args(["-c", script]).arg(folder.join("junit.xml")))?;
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told.as_array().unwrap()[..4], [6, 2, 1, 2], "cases, failures, errors, skipped: {told}");
    let names: BTreeSet<&str> = told[4].as_array().unwrap().iter().map(|case| case[0].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(nasty::IDS));
    for (id, kind) in nasty::IDS.iter().zip(["Failure", "Failure", "Error", "", "Skipped", "Skipped"]) {
        let case = told[4].as_array().unwrap().iter().find(|case| case[0] == *id).unwrap();
        let kinds: Vec<&str> = case[1].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect();
        assert_eq!(kinds.concat(), kind, "{id}");
        assert_eq!(case[2], true, "{id} has its output");
    }
    Ok(())
}

fn junit2html(folder: &Path) -> Result<(), Unread> {
    let page = folder.join("page.html");
    reads(Command::new(python()?.join("junit2html")).arg(folder.join("junit.xml")).arg(&page))?;
    shows_every_case(&read(page));
    Ok(())
}

fn xunit_viewer(folder: &Path) -> Result<(), Unread> {
    // It ends before a pipe has taken everything.
    let said = folder.join("said.txt");
    let mut viewer = Command::new(node()?.join("xunit-viewer"));
    // It writes a page into the folder that it stands in.
    viewer.current_dir(folder).stdout(std::fs::File::create(&said).unwrap());
    reads(viewer.args(["--console", "--clear=false", "--no-color", "-r"]).arg(folder.join("junit.xml")))?;
    shows_every_case(&read(said));
    Ok(())
}

fn shows_every_case(text: &str) {
    let text = text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").replace("&#34;", "\"");
    let text = text.replace("&quot;", "\"");
    for id in nasty::IDS {
        assert!(text.contains(id), "{id} is missing in {} characters", text.len());
    }
    assert!(text.contains("expected"), "why it failed is missing");
}

fn junit_report_merger(folder: &Path) -> Result<(), Unread> {
    let other = wi_report::junit(&nasty::run(vec![nasty::case("more/one", wi_model::record::Outcome::Fail, 0)]));
    std::fs::write(folder.join("other.xml"), other).unwrap();
    let merged = folder.join("merged.xml");
    let mut merger = Command::new(node()?.join("junit-report-merger"));
    reads(merger.arg(&merged).arg(folder.join("junit.xml")).arg(folder.join("other.xml")))?;
    let report = quick_junit::Report::deserialize_from_str(&read(merged)).unwrap();
    let cases: Vec<String> = report
        .test_suites
        .iter()
        .flat_map(|suite| &suite.test_cases)
        .map(|case| case.name.as_str().to_owned())
        .collect();
    assert_eq!(cases.len(), 7, "{cases:?}");
    assert!(nasty::IDS.iter().all(|id| cases.iter().any(|case| case == id)), "{cases:?}");
    assert_eq!((report.tests, report.failures, report.errors), (7, 3, 1));
    Ok(())
}

/// The schema is the one of Jenkins' xUnit plugin, as pytest's source release carries it. It knows nothing of the file and
/// line of a case, which reporters on GitHub and GitLab need, nor of a case's properties, which Jenkins' JUnit plugin reads,
/// nor of how many cases were skipped in all. Apart from these nothing is strange to it.
fn jenkins(folder: &Path) -> Result<(), Unread> {
    let bin = python()?;
    let fetched = tools::folder("junit-schema", |folder| {
        let mut pip = Command::new(bin.join("pip"));
        pip.args(["download", "--quiet", "--disable-pip-version-check", "--timeout=20", "--retries=1", "--no-deps"]);
        tools::run(pip.args(["--no-binary=:all:", "pytest==9.2.0", "--dest"]).arg(folder))?;
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--gzip", "--strip-components=3", "--directory"]).arg(folder);
        tar.arg("--file").arg(folder.join("pytest-9.2.0.tar.gz"));
        tools::run(tar.arg("pytest-9.2.0/testing/example_scripts/junit-10.xsd"))?;
        Ok(())
    });
    let schema =
        fetched.map_err(|why| Unread::NotHere(format!("the schema cannot be had: {why}")))?.join("junit-10.xsd");
    let script = "\
import json, re, sys, xmlschema
schema = xmlschema.XMLSchema(sys.argv[1])
faults = [[re.sub(r'\\[\\d+\\]', '', e.path or ''), e.reason] for e in schema.iter_errors(sys.argv[2])]
print(json.dumps(sorted(set(map(tuple, faults)))))
";
    let text = reads(Command::new(bin.join("python")).args(["-c", script]).arg(schema).arg(folder.join("junit.xml")))?;
    let faults: Vec<(String, String)> = serde_json::from_str(&text).unwrap();
    let case = "/testsuites/testsuite/testcase";
    let known = [
        ("/testsuites", "'skipped' attribute not allowed for element"),
        (case, "'file' attribute not allowed for element"),
        (case, "'line' attribute not allowed for element"),
        (case, "Unexpected child with tag 'properties' at position 1."),
    ];
    for (path, reason) in &faults {
        assert!(known.contains(&(path, reason)), "{path}: {reason}");
    }
    assert_eq!(faults.len(), known.len(), "{faults:?}");
    Ok(())
}
