//! One case: a line when folded; its path, what was expected beside what was observed, what to do, and the evidence when
//! not.

use maud::{Markup, html as markup};
use wi_model::catalogue::Catalogue;
use wi_model::record::{Check, Failure, Record};

use super::{Documents, anchor, badge, duration, link_below, path, shown, source};

/// Shown by the page in its own way.
const TOLD_ALREADY: [&str; 2] = ["case.json", "timeline.txt"];

/// A case, open or folded.
pub(super) fn case(case: &Record, open: bool, requirements: &Catalogue, documents: &Documents<'_>) -> Markup {
    let anchor = anchor("case", &case.id);
    markup! {
        details.case.(case.outcome.word()) id=(anchor) data-outcome=(case.outcome.word()) open[open] {
            summary {
                h3 { (badge(case.outcome)) " " span.id { (shown(&case.id)) } }
                span.title { (shown(&case.title)) }
                @if let Some(failure) = case.failures.first() {
                    span.line { strong { (path::name(failure.hop)) } ": " (first_line(&failure.observed)) }
                } @else if let Some(reason) = &case.reason {
                    span.line { (first_line(reason)) }
                }
                span.ms { (duration(case.duration_ms)) }
            }
            div.body {
                div.why {
                    @if is_told_in_full(case) { (path::path(case)) } @else { (path::line(case)) }
                    @if let Some(reason) = &case.reason { p.reason { strong { "Reason: " } (shown(reason)) } }
                    @if let Some((first, others)) = case.failures.split_first() {
                        (failure(case, first))
                        @if !others.is_empty() {
                            details.fold {
                                summary { (others.len()) " more failed after it" }
                                @for other in others { (failure(case, other)) }
                            }
                        }
                    }
                }
                (checks(case))
                (timeline(case))
                (evidence(case, documents))
                dl.facts {
                    @if !case.requirements.is_empty() {
                        div {
                            dt { "Shows" }
                            dd {
                                @for (index, id) in case.requirements.iter().enumerate() {
                                    @if index > 0 { ", " }
                                    @if let Some(known) = requirements.get(id) {
                                        a href={ "#" (super::anchor("requirement", id)) } title=(shown(&known.statement)) { (shown(id)) }
                                    } @else { (shown(id)) }
                                }
                            }
                        }
                    }
                    div { dt { "Scenario" } dd { code { (shown(&case.file)) } } }
                    @if let Some(text) = &case.source { div { dt { "From" } dd { (source(text)) } } }
                    @if let Some(defect) = &case.sabotage { div { dt { "Mutant" } dd { code { (shown(defect)) } } } }
                    div {
                        dt { "Rerun" }
                        dd {
                            code { (shown(&crate::text::again(case))) }
                        }
                    }
                    div { dt { "Link" } dd { a href={ "#" (anchor) } { "#" (anchor) } } }
                }
            }
        }
    }
}

fn failure(case: &Record, failure: &Failure) -> Markup {
    markup! {
        section.failure {
            h4 { (path::name(failure.hop)) ": expected and observed" }
            div.beside {
                div.expected tabindex=[scrolls(&failure.expected)] { h5 { "Expected" } p { (shown(&failure.expected)) } }
                div.observed tabindex=[scrolls(&failure.observed)] { h5 { "Observed" } p { (shown(&failure.observed)) } }
            }
            @if let Some(advice) = &failure.advice { p.advice { strong { "Advice: " } (shown(advice)) } }
            p.where {
                "Scenario line " code { (shown(&case.file)) ":" (failure.at.line) ":" (failure.at.column) }
                "; checked " (times(failure.looks)) " over " (duration(failure.waited_ms)) "."
            }
        }
    }
}

/// What may be longer than its box is reached by the keyboard, so that it can be scrolled.
fn scrolls(text: &str) -> Option<&'static str> {
    (text.len() > 600 || text.lines().count() > 8).then_some("0")
}

fn checks(case: &Record) -> Markup {
    let met = case.checks.iter().filter(|check| check.met).count();
    markup! {
        @if !case.checks.is_empty() {
            details.fold {
                summary { "Expectations: " (met) " of " (case.checks.len()) " met" }
                @if is_told_in_full(case) {
                    table {
                        thead { tr { th scope="col" { "Expectation" } th scope="col" { "Met" } th scope="col" { "Line" } th scope="col" { "Waited" } } }
                        tbody {
                            @for check in &case.checks {
                                tr {
                                    td { (shown(&check.expectation)) }
                                    td.(if check.met { "met" } else if check.judged { "unmet" } else { "unjudged" }) { (mark(check)) " " (check.word()) }
                                    td.number { (check.at.line) }
                                    td.number { (duration(check.waited_ms)) }
                                }
                            }
                        }
                    }
                } @else {
                    pre {
                        @for check in &case.checks {
                            (mark(check)) " "
                            (shown(&check.expectation)) " (line " (check.at.line) ", " (duration(check.waited_ms)) ")\n"
                        }
                    }
                }
            }
        }
    }
}

fn mark(check: &Check) -> &'static str {
    match (check.met, check.judged) {
        (true, _) => "✓",
        (false, true) => "✗",
        (false, false) => "–",
    }
}

fn timeline(case: &Record) -> Markup {
    let total = case.duration_ms.max(1);
    markup! {
        @if !case.timeline.is_empty() {
            details.fold {
                summary { "Timeline: " (case.timeline.len()) " events in " (duration(case.duration_ms)) }
                @if is_told_in_full(case) {
                    ol.timeline {
                        @for moment in &case.timeline {
                            li {
                                span.at { "+" (duration(moment.at_ms)) }
                                span.bar style={ "--part:" (moment.at_ms.min(total) * 100 / total) "%" } aria-hidden="true" {}
                                span { (shown(&moment.what)) }
                            }
                        }
                    }
                } @else {
                    pre.timeline {
                        @for moment in &case.timeline {
                            (format!("{:>9}  ", format!("+{}", duration(moment.at_ms)))) (shown(&moment.what)) "\n"
                        }
                    }
                }
            }
        }
    }
}

fn evidence(case: &Record, documents: &Documents<'_>) -> Markup {
    let Some(folder) = &case.evidence else { return Markup::default() };
    let file = |name: &str| {
        let href = link_below(&format!("{folder}/{name}"));
        markup! { @if let Some(href) = href { a href=(href) { (shown(name)) } } @else { (shown(name)) } }
    };
    markup! {
        @if !case.artefacts.is_empty() {
            details.fold {
                summary { "Evidence: " (case.artefacts.len()) " files in " code { (shown(folder)) "/" } }
                @if is_told_in_full(case) {
                    ul.evidence {
                        @for name in &case.artefacts {
                            li {
                                @let text = if TOLD_ALREADY.contains(&name.as_str()) { None } else { documents(case, name) };
                                @if let Some(text) = text {
                                    details {
                                        summary { (shown(name)) }
                                        pre tabindex="0" aria-label=(shown(name)) { (shown(&text)) }
                                        p { "File: " (file(name)) }
                                    }
                                } @else { (file(name)) }
                            }
                        }
                    }
                } @else {
                    p { @for (index, name) in case.artefacts.iter().enumerate() { @if index > 0 { ", " } (file(name)) } }
                }
            }
        }
    }
}

/// Whether a case is worth more than the fewest elements: there may be a thousand in which nothing is to be found out, and
/// a page opens as quickly as it is small.
fn is_told_in_full(case: &Record) -> bool {
    case.outcome.is_red() || !case.failures.is_empty()
}

fn times(looks: u32) -> String {
    if looks == 1 { "once".to_owned() } else { format!("{looks} times") }
}

/// The first line, short enough for a line of a page.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(200).collect();
    let more = if short.len() < text.len() { " ..." } else { "" };
    format!("{}{more}", shown(&short))
}
