//! How a run goes, while it goes: moving lines on a terminal, plain ones elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use ::console::style as console_style;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use wi_conformance::console::{self, ForPeople};
use wi_model::record::{Outcome, Record};
use wi_report::for_terminal;

/// Shows how a run goes.
pub(crate) struct Progress {
    display: Option<Display>,
    people: ForPeople,
}

struct Display {
    all: MultiProgress,
    total: ProgressBar,
    cases: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Progress {
    /// Lines that move where somebody can watch, plain ones elsewhere.
    pub(crate) fn new(plain: bool, cases: usize, people: ForPeople) -> Self {
        if plain || !std::io::stderr().is_terminal() {
            return Progress { display: None, people };
        }
        let all = MultiProgress::new();
        let total = all.add(ProgressBar::new(cases as u64));
        let style = ProgressStyle::with_template("{bar:24.green/dim} {pos}/{len}  {elapsed} {msg}");
        total.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        total.enable_steady_tick(Duration::from_millis(200));
        Progress { display: Some(Display { all, total, cases: Mutex::default() }), people }
    }
}

impl wi_conformance::progress::Progress for Progress {
    /// What is done before the first case, or after the last.
    fn preparing(&self, what: &str) {
        match &self.display {
            Some(display) => display.total.set_message(for_terminal(what)),
            None => console::tell(format!("{:>15}  {what}", "...")),
        }
    }

    /// Everything is ready for cases.
    fn prepared(&self) {
        if let Some(display) = &self.display {
            display.total.set_message("");
        }
    }

    /// A case has come to a stage.
    fn stage(&self, id: &str, what: &str) {
        let Some(display) = &self.display else { return };
        let Ok(mut cases) = display.cases.lock() else { return };
        let bar = cases.entry(id.to_owned()).or_insert_with(|| {
            let bar = display.all.add(ProgressBar::new_spinner());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.set_message(for_terminal(&format!("{id}  {what}")));
    }

    /// A case has come to its end.
    fn ended(&self, record: &Record) {
        let line = line(record, self.display.is_some());
        match &self.display {
            Some(display) => {
                if let Some(bar) = display.cases.lock().ok().and_then(|mut cases| cases.remove(&record.id)) {
                    bar.finish_and_clear();
                }
                display.total.inc(1);
                display.total.suspend(|| self.people.exact(line));
            }
            None => self.people.exact(line),
        }
    }

    /// Nothing more will come.
    fn finish(&self) {
        if let Some(display) = &self.display {
            display.total.finish_and_clear();
        }
    }
}

/// A case's end in a line. Only the colours of the outcome are left in it as control characters.
fn line(record: &Record, colours: bool) -> String {
    let word = match record.outcome {
        Outcome::Pass => console_style("pass").green(),
        Outcome::Fail => console_style("FAIL").red().bold(),
        Outcome::ExpectedFail => console_style("expected-fail").yellow(),
        Outcome::UnexpectedPass => console_style("UNEXPECTED-PASS").red().bold(),
        Outcome::NotApplicable => console_style("not-applicable").dim(),
        Outcome::Blocked => console_style("BLOCKED").magenta().bold(),
    }
    .force_styling(colours);
    let time =
        if record.outcome == Outcome::NotApplicable { String::new() } else { format!("  {} ms", record.duration_ms) };
    let reason = record.reason.as_ref().map(|reason| format!("  {reason}")).unwrap_or_default();
    format!("{word:>15}  {}{time}{}", for_terminal(&record.id), for_terminal(&reason))
}
