//! `report.html`: one file that asks nobody for anything, for the person who has three minutes. The verdict, then what
//! failed and why; everything else is folded.
//!
//! It is read without JavaScript too, which adds filters and opens the case that a link names. No data is in the script.

mod case;
mod coverage;
mod path;

use std::cell::Cell;
use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html as markup};
use wi_model::record::{Outcome, Record, RunRecord};

use crate::plain::plain;
use crate::verdict::{Verdict, Word};

/// The largest file of evidence that is shown in the page itself.
pub const LARGEST_DOCUMENT: u64 = 24 * 1024;

/// The most that all of them may take together, so that a page stays quick.
const DOCUMENTS: usize = 4 * 1024 * 1024;

/// The longest text of one field.
const LONGEST: usize = 16 * 1024;

/// How many red cases are open when the page is.
const OPEN: usize = 10;

/// Nothing is fetched from anywhere, whatever a name or a message says.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const STYLE: &str = include_str!("html/report.css");
const SCRIPT: &str = include_str!("html/report.js");

/// What hands out the text of a file of a case's evidence, if it is small and there.
pub type Documents<'a> = dyn Fn(&Record, &str) -> Option<String> + 'a;

/// The page. `documents` gives small files of evidence, which are shown with red cases.
pub fn html(run: &RunRecord, documents: &Documents<'_>) -> String {
    let room = Cell::new(DOCUMENTS);
    let bounded = |case: &Record, name: &str| {
        let text = documents(case, name).filter(|text| text.len() <= room.get())?;
        room.set(room.get() - text.len());
        Some(text)
    };
    let (mut red, mut other): (Vec<&Record>, Vec<&Record>) = run.cases.iter().partition(|case| case.outcome.is_red());
    let rank = |case: &Record| Outcome::ALL.iter().position(|outcome| *outcome == case.outcome);
    red.sort_by_key(|case| rank(case));
    other.sort_by_key(|case| rank(case));
    let verdict = Verdict::of(run);
    let wrong = red.iter().any(|case| case.outcome != Outcome::Blocked);
    let page = markup! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="referrer" content="no-referrer";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (verdict.word.text()) ": " (shown(&run.environment.webhook)) " on " (shown(&run.environment.target)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#cases" { "Skip to the cases" }
                (head(run, &verdict, &red))
                (filters(run))
                main id="cases" tabindex="-1" {
                    @if !red.is_empty() {
                        section.cases aria-labelledby="red" {
                            h2 id="red" { @if wrong { "What failed, and why" } @else { "What could not be judged, and why" } }
                            @for (index, case) in red.iter().enumerate() {
                                (case::case(case, index < OPEN, &run.requirements, &bounded))
                            }
                        }
                    }
                    @if !other.is_empty() {
                        section.cases aria-labelledby="other" {
                            h2 id="other" { @if red.is_empty() { "Cases" } @else { "Everything else" } }
                            @for case in &other {
                                (case::case(case, false, &run.requirements, &|_, _| None))
                            }
                        }
                    }
                    p id="nothing" hidden { "No case matches. " button type="button" id="reset" { "Show all cases" } }
                    (coverage::coverage(run))
                    (about(run))
                }
                footer { p { "Made by wi-conformance " (shown(&run.environment.harness)) " from the log of run " (shown(&run.run)) "." } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// The colour of a verdict.
fn class(word: Word) -> &'static str {
    match word {
        Word::NotConformant | Word::Interrupted => "bad",
        Word::NotJudged | Word::NothingRan => "odd",
        Word::Conformant => "good",
    }
}

fn head(run: &RunRecord, verdict: &Verdict, red: &[&Record]) -> Markup {
    let place = &run.environment;
    // A conformant run that left something behind is not good news alone.
    let colour =
        if verdict.word == Word::Conformant && !run.leftovers.is_empty() { "odd" } else { class(verdict.word) };
    let mut broke: BTreeMap<_, usize> = BTreeMap::new();
    for failure in red.iter().filter_map(|case| case.failures.first()) {
        *broke.entry(failure.hop).or_default() += 1;
    }
    markup! {
        header.verdict.(colour) {
            h1 { span.word { (verdict.word.text()) } span.sentence { (verdict.sentence) } }
            @if !broke.is_empty() {
                p.most {
                    "Broke at "
                    @for (index, (hop, count)) in broke.iter().enumerate() {
                        @if index > 0 { ", " }
                        strong { (path::name(*hop)) } " (" (count) @if *count == 1 { " case" } @else { " cases" } ")"
                    }
                }
            }
            dl.facts {
                div { dt { "Webhook" } dd { (shown(&place.webhook)) } }
                div { dt { "Product" } dd { (place.product.as_ref().map_or_else(|| "unknown".to_owned(), |p| shown(&p.to_string()).to_string())) } }
                div { dt { "Target" } dd { (shown(&place.target)) } }
                @if let Some(version) = &place.kubernetes { div { dt { "Kubernetes" } dd { (shown(version)) } } }
                @if let Some(profile) = &place.profile { div { dt { "Profile" } dd { (shown(profile)) } } }
                div { dt { "Began" } dd { time datetime=(shown(&run.started)) { (moment(&run.started)) } } }
                div { dt { "Took" } dd { (duration(run.duration_ms)) } }
            }
            @for note in &run.notes { p.note { strong { "Note: " } (shown(note)) } }
            @if !run.leftovers.is_empty() {
                details.note {
                    summary { (run.leftovers.len()) " things were left behind; " code { "wi-conformance sweep" } " removes them" }
                    ul { @for left in &run.leftovers { li { (shown(left)) } } }
                }
            }
        }
    }
}

fn filters(run: &RunRecord) -> Markup {
    markup! {
        form.filters role="search" aria-label="Cases" onsubmit="return false" {
            label for="text" { "Find" }
            input id="text" type="search" placeholder="id, title, hop, code ..." autocomplete="off" aria-keyshortcuts="/";
            div.outcomes role="group" aria-label="Outcomes" {
                @for outcome in Outcome::ALL {
                    @let count = run.count(outcome);
                    @if count > 0 {
                        button type="button" aria-pressed="false" data-outcome=(outcome.word()) {
                            (badge(outcome)) " " (count)
                        }
                    }
                }
            }
            button type="button" id="fold" { "Open all" }
            output id="count" role="status" aria-live="polite" for="text" { (run.cases.len()) " cases" }
        }
    }
}

fn about(run: &RunRecord) -> Markup {
    let place = &run.environment;
    let longest = run.phases.iter().map(|phase| phase.ms).max().unwrap_or(0).max(1);
    markup! {
        section aria-labelledby="about" {
            h2 id="about" { "About this run" }
            @if !run.phases.is_empty() {
                h3 { "Where the time went" }
                table.phases {
                    thead { tr { th scope="col" { "Phase" } th scope="col" { "Time" } td {} } }
                    tbody {
                        @for phase in &run.phases {
                            tr {
                                th scope="row" { (shown(&phase.what)) }
                                td.number { (duration(phase.ms)) }
                                td { div.bar style={ "--part:" (phase.ms * 100 / longest) "%" } aria-hidden="true" {} }
                            }
                        }
                    }
                }
            }
            @if !place.capabilities.is_empty() {
                h3 { "What the target can do" }
                p { @for (index, word) in place.capabilities.iter().enumerate() { @if index > 0 { ", " } (shown(word)) } }
            }
        }
    }
}

/// An outcome as a word in its colour, with a sign for those who do not see colours.
fn badge(outcome: Outcome) -> Markup {
    let sign = match outcome {
        Outcome::Pass => "✓",
        Outcome::Fail => "✗",
        Outcome::Blocked => "!",
        Outcome::UnexpectedPass => "?",
        Outcome::ExpectedFail => "≈",
        Outcome::NotApplicable => "–",
    };
    markup! { span.badge.(outcome.word()) { span aria-hidden="true" { (sign) } " " (outcome.word()) } }
}

/// Text of a record as the page shows it.
fn shown(text: &str) -> String {
    plain(text, LONGEST)
}

/// A time to the second.
fn moment(text: &str) -> String {
    let parsed = text.parse::<jiff::Timestamp>();
    parsed.map_or_else(|_| shown(text), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..60_000 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1_000),
    }
}

/// What a link to a case or a requirement names: letters, digits and a few signs, everything else spelt out.
fn anchor(kind: &str, id: &str) -> String {
    let mut out = format!("{kind}-");
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            _ => out.push_str(&format!("~{byte:02x}")),
        }
    }
    out
}

/// A path that a link may name: below the page, never a scheme, every byte that a link takes for its own spelt out.
fn link_below(path: &str) -> Option<String> {
    let plain = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    plain.then(|| {
        let mut out = "./".to_owned();
        for byte in path.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    })
}

/// A source as a link where it is an address, as text where it is none.
fn source(text: &str) -> Markup {
    let is_address = text.starts_with("https://") || text.starts_with("http://");
    markup! {
        @if is_address && !text.contains(char::is_whitespace) {
            a href=(text) rel="noreferrer noopener" { (shown(text)) }
        } @else { (shown(text)) }
    }
}

#[cfg(test)]
mod tests;
