//! Requirements beside the cases that show them.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html as markup};
use wi_model::record::{Outcome, Record, RunRecord};

use super::{anchor, badge, shown, source};

/// Every requirement: what it says, where it is from, and how the cases that show it came out.
pub(super) fn coverage(run: &RunRecord) -> Markup {
    let mut by_id: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for case in &run.cases {
        for id in &case.requirements {
            by_id.entry(id).or_default().push(case);
        }
    }
    let ids: BTreeSet<&str> = run.requirements.keys().map(String::as_str).chain(by_id.keys().copied()).collect();
    let counted = |wanted: State| ids.iter().filter(|id| state(by_id.get(*id)) == wanted).count();
    markup! {
        @if !ids.is_empty() {
            section aria-labelledby="coverage" {
                h2 id="coverage" { "Requirements" }
                p {
                    (counted(State::Shown)) " of " (ids.len()) " were verified, "
                    (counted(State::Broken)) " are not, "
                    (counted(State::Untold)) " were not tested by this run."
                }
                div.scroll tabindex="0" role="group" aria-label="Table of requirements" {
                    table.coverage {
                        thead { tr { th scope="col" { "Id" } th scope="col" { "Requirement" } th scope="col" { "Cases" } } }
                        tbody {
                            @for id in &ids {
                                @let known = run.requirements.get(*id);
                                @let cases = by_id.get(id);
                                tr.(state(cases).class()) id=(anchor("requirement", id)) {
                                    th scope="row" { (shown(id)) }
                                    td {
                                        @if let Some(known) = known {
                                            (shown(&known.statement)) " " span.source { (source(&known.source)) }
                                        } @else { "not in the catalogue" }
                                    }
                                    td {
                                        @for case in cases.into_iter().flatten() {
                                            div { (badge(case.outcome)) " " a href={ "#" (anchor("case", &case.id)) } { (shown(&case.id)) } }
                                        }
                                        @if cases.is_none() { "no case in this run" }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a run tells about a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Shown,
    Broken,
    Untold,
}

impl State {
    fn class(self) -> &'static str {
        match self {
            State::Shown => "shown",
            State::Broken => "broken",
            State::Untold => "untold",
        }
    }
}

/// A case that fails as the register of deviations says breaks its requirement none the less.
fn state(cases: Option<&Vec<&Record>>) -> State {
    let outcomes: Vec<Outcome> = cases.into_iter().flatten().map(|case| case.outcome).collect();
    if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Fail | Outcome::ExpectedFail)) {
        State::Broken
    } else if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Pass | Outcome::UnexpectedPass)) {
        State::Shown
    } else {
        State::Untold
    }
}
