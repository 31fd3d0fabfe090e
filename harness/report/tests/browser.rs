//! `report.html` in a real Chromium, where there is one: what it loads, how long it takes, what filters and links do, and
//! what somebody finds who does not see it.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod nasty;
mod tools;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use wi_model::record::{Moment, Outcome, RunRecord};

fn main() -> std::process::ExitCode {
    let trials = vec![
        trial("the_page_asks_nobody_for_anything", asks_nobody),
        trial("a_thousand_cases_open_within_a_second", opens_quickly),
        trial("outcomes_and_words_filter_the_cases", filters),
        trial("a_link_to_a_case_opens_it_whatever_is_filtered", links),
        trial("without_javascript_everything_can_be_read", reads_without_script),
        trial("nothing_that_a_record_says_runs", nothing_runs),
        trial("axe_finds_nothing_that_keeps_anybody_out_by_day_or_by_night", accessible),
    ];
    let mut arguments = Arguments::from_args();
    // One browser at a time: each is several processes, and one of the tests reads a clock.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, test: fn(&Browser) -> Result<(), String>) -> Trial {
    Trial::ignorable_test(name, move || {
        let found = ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find(|name| tools::run(Command::new(name).arg("--version")).is_ok());
        let Some(program) = found else { return Ok(Completion::ignored_with("there is no chromium on PATH")) };
        let folder = tempfile::tempdir()?;
        match test(&Browser { program, folder }) {
            Ok(()) => Ok(Completion::Completed),
            Err(why) if why.contains("cannot be had") => Ok(Completion::ignored_with(why)),
            Err(why) => Err(Failed::from(why)),
        }
    })
}

struct Browser {
    program: &'static str,
    folder: tempfile::TempDir,
}

impl Browser {
    /// The page as it stands after a while of its own time, which passes as fast as it can.
    fn dom(&self, url: &str, flags: &[&str]) -> Result<String, String> {
        let mut chromium = Command::new(self.program);
        chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        chromium.args(["--disable-background-networking", "--disable-component-update", "--disable-extensions"]);
        chromium.arg(format!("--user-data-dir={}", self.folder.path().join("profile").display()));
        // A browser that hangs ends by itself.
        chromium.args(["--timeout=60000"]).args(flags).arg("--dump-dom").arg(url);
        tools::run(&mut chromium).map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The page of a run, and what a script that is added to it does.
    fn page(&self, run: &RunRecord, script: &str) -> String {
        let page = wi_report::html(run, &|_, name| Some(format!("{name}: a document")));
        nasty::no_canary("report.html", &page);
        let path = self.folder.path().join("report.html");
        // After the page's own script, and under its own policy.
        let added = format!("<script>{script}</script></body>");
        std::fs::write(&path, page.replace("</body>", &added)).unwrap();
        address(&path)
    }

    /// What a script says, which leaves it in the page's title.
    fn says(&self, run: &RunRecord, fragment: &str, script: &str) -> Result<String, String> {
        let url = format!("{}{fragment}", self.page(run, script));
        let dom = self.dom(&url, &["--virtual-time-budget=5000"])?;
        let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
        Ok(title.unwrap_or_default().to_owned())
    }
}

fn address(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// A hundred failed cases among nine hundred passed ones, of realistic length.
fn thousand() -> RunRecord {
    let cases = (0..1000).map(|i| {
        let outcome = if i % 10 == 0 { Outcome::Fail } else { Outcome::Pass };
        let mut case = nasty::case(&format!("area{}/case-{i:04}", i % 9), outcome, 0);
        case.title =
            "exchange is refused when the issuer of the federated credential has an extra trailing slash".into();
        case.source = Some("https://github.com/Azure/azure-workload-identity/issues/977".into());
        for failure in &mut case.failures {
            failure.expected = "refused with AADSTS700211".into();
            failure.observed = format!("granted, to client 3cd827fd-f470-4e37-ac3b-{i:012}");
        }
        case.checks = std::iter::repeat_n(case.checks[0].clone(), 4).collect();
        for check in &mut case.checks {
            check.expectation = "the token of pod quick-start names system:serviceaccount:wi-748d84245c:reader".into();
        }
        let what = "expecting that pod quick-start is refused an access token with AADSTS700211".to_owned();
        case.timeline = (0..9).map(|i| Moment { at_ms: i * 20, what: what.clone() }).collect();
        case.artefacts = (0..12).map(|i| format!("wi-748d84245c.quick-start/document-{i}.json")).collect();
        case
    });
    nasty::run(cases.collect())
}

/// A server of one page, and the paths that it was asked for.
fn server(page: String, policy: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    // Ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut buffer = [0; 8192];
            let Ok(read) = stream.read(&mut buffer) else { continue };
            let request = String::from_utf8_lossy(&buffer[..read]).into_owned();
            let Some(line) = request.lines().next() else { continue };
            log.lock().unwrap().push(line.to_owned());
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\
                 Content-Security-Policy: {policy}\r\n\r\n",
                page.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(page.as_bytes()));
        }
    });
    (format!("http://{address}"), asked)
}

fn asks_nobody(browser: &Browser) -> Result<(), String> {
    let (address, asked) = server(String::new(), "");
    let mut run = nasty::small();
    for case in &mut run.cases {
        // What would be asked for, if anything in a record were taken for markup.
        case.title = format!("<img src={address}/image><link rel=stylesheet href={address}/style>");
        case.reason = Some(format!("<script src={address}/script></script><iframe src={address}/frame>"));
    }
    let page = wi_report::html(&run, &|_, _| Some(format!("<object data={address}/object>")));
    let (served, requests) = server(page, "");
    let dom = browser.dom(&format!("{served}/report.html"), &["--virtual-time-budget=3000"])?;
    assert!(dom.contains("Not conformant"), "the page was read");
    assert_eq!(*requests.lock().unwrap(), ["GET /report.html HTTP/1.1"]);
    assert!(asked.lock().unwrap().is_empty(), "{asked:?}");
    Ok(())
}

fn opens_quickly(browser: &Browser) -> Result<(), String> {
    // Reading a height makes the browser lay everything out that it shows.
    let script = "addEventListener('load', () => { const height = document.body.offsetHeight; \
                  document.title = Math.round(performance.now()) + ' ms ' + (height > 0); });";
    let url = browser.page(&thousand(), script);
    let size = std::fs::metadata(browser.folder.path().join("report.html")).unwrap().len();
    let mut best = u64::MAX;
    // The first start of a browser also makes its profile; a busy machine is given another try.
    for _ in 0..3 {
        let dom = browser.dom(&url, &[])?;
        let title = dom.split("<title>").nth(1).and_then(|rest| rest.split(" ms true").next());
        best = best.min(title.and_then(|ms| ms.parse().ok()).ok_or("the page says no time")?);
    }
    let _ = writeln!(std::io::stderr(), "1,000 cases, {size} bytes: {best} ms");
    assert!(best < 1000, "1,000 cases ({size} bytes) took {best} ms at best");
    Ok(())
}

fn filters(browser: &Browser) -> Result<(), String> {
    let script = "\
const shown = () => document.querySelectorAll('details.case:not([hidden])').length;
const said = [];
const note = () => said.push(shown() + ' (' + document.getElementById('count').textContent + ')');
const write = (text) => { const it = document.getElementById('text'); it.value = text; it.dispatchEvent(new Event('input')); };
const press = (outcome) => document.querySelector(`button[data-outcome=${outcome}]`).click();
note();
press('fail'); note();
press('pass'); note();
press('pass'); write('case-0010');
setTimeout(() => { note(); write('no such thing');
setTimeout(() => { note(); said.push(document.getElementById('nothing').hidden);
  document.getElementById('reset').click(); note();
  document.dispatchEvent(new KeyboardEvent('keydown', { key: '/' })); said.push(document.activeElement.id);
  document.activeElement.blur();
  document.dispatchEvent(new KeyboardEvent('keydown', { key: 'j' }));
  document.dispatchEvent(new KeyboardEvent('keydown', { key: 'j' }));
  said.push(document.activeElement.parentElement.id);
  document.title = said.join('; ');
}, 500); }, 500);";
    let said = browser.says(&thousand(), "", script)?;
    let expected = "1000 (1000 cases); 100 (100 of 1000 cases); 1000 (1000 cases); 1 (1 of 1000 cases); \
                    0 (0 of 1000 cases); false; 1000 (1000 cases); text; case-area0/case-0090";
    assert_eq!(said, expected);
    Ok(())
}

fn links(browser: &Browser) -> Result<(), String> {
    let script = "\
const it = document.getElementById('case-area2/case-0551');
const said = [it.open, document.activeElement.parentElement === it];
document.querySelector('button[data-outcome=fail]').click();
said.push(it.hidden);
it.open = false;
location.hash = '';
location.hash = '#case-area2/case-0551';
setTimeout(() => { said.push(it.open, it.hidden, Math.abs(it.getBoundingClientRect().top) < innerHeight);
document.title = said.join(' '); }, 1500);";
    let said = browser.says(&thousand(), "#case-area2/case-0551", script)?;
    assert_eq!(said, "true true true true false true");
    Ok(())
}

fn reads_without_script(browser: &Browser) -> Result<(), String> {
    // As where a CI server shows artefacts with a policy of its own.
    let (address, _) = server(wi_report::html(&nasty::small(), &|_, _| None), "script-src 'none'");
    let dom = browser.dom(&address, &[])?;
    assert!(!dom.contains("<html lang=\"en\" class=\"js\""), "no script ran");
    for part in ["Not conformant", "✗ failed here", "Expected", "Observed", "Advice"] {
        assert!(dom.contains(part), "{part}");
    }
    assert_eq!(dom.matches("<details class=\"case").count(), 6);
    Ok(())
}

fn nothing_runs(browser: &Browser) -> Result<(), String> {
    let mut run = nasty::small();
    let attack = "</script></style></title><script>document.title='run'</script>\
                  <img src=x onerror=\"document.title='run'\"><svg onload=\"document.title='run'\">\" autofocus onfocus=\"document.title='run'";
    for case in &mut run.cases {
        case.title = attack.into();
        case.source = Some(format!("javascript:{attack}"));
        case.evidence = Some("javascript:alert(1)".into());
        case.artefacts = vec![attack.replace('/', "")];
        case.failures.iter_mut().for_each(|failure| failure.observed = attack.into());
    }
    run.environment.webhook = attack.into();
    let script =
        "document.querySelectorAll('a').forEach((a) => { if (!/^(#|\\.\\/|https?:)/.test(a.getAttribute('href'))) \
                  document.title = 'a link of another kind: ' + a.getAttribute('href'); });
setTimeout(() => { if (document.title !== 'run') document.title = document.title.slice(0, 14); }, 500);";
    assert_eq!(browser.says(&run, "", script)?, "Not conformant");
    Ok(())
}

fn accessible(browser: &Browser) -> Result<(), String> {
    let folder = tools::npm("axe", &["axe-core@4.11.0"])?;
    let axe = std::fs::read_to_string(folder.join("node_modules/axe-core/axe.min.js")).unwrap();
    let script = format!(
        "{axe};\nfor (const it of document.querySelectorAll('details')) it.open = true;
axe.run(document, {{ resultTypes: ['violations'] }}).then((found) => {{
  const told = found.violations.map((v) => v.id + ': ' + v.nodes.slice(0, 3).map((n) => n.target.join(' ')).join(', '));
  document.title = 'found ' + told.length + ' in ' + (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')
    + '. ' + told.join('; ');
}});"
    );
    let url = browser.page(&nasty::small(), &script);
    for (colours, setting) in [("light", "preferredColorScheme=1"), ("dark", "preferredColorScheme=0")] {
        let dom = browser.dom(&url, &["--virtual-time-budget=30000", &format!("--blink-settings={setting}")])?;
        let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
        assert_eq!(title, Some(format!("found 0 in {colours}. ").as_str()));
    }
    Ok(())
}
