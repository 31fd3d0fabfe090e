//! The way from a pod to its secret, with the hop where it broke.

use maud::{Markup, html as markup};
use wi_model::record::{Outcome, Record};
use wi_model::verdict::Hop;

const HOPS: [Hop; 6] = [Hop::SetUp, Hop::Admission, Hop::Pod, Hop::Token, Hop::Exchange, Hop::Secret];

/// How a hop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Held,
    Broke,
    /// Not met either, after the first that was not.
    Followed,
    /// Steps were left out after the hop that broke, so what they would have set up is not there.
    CutShort,
    /// Nothing was expected of it.
    Unasked,
    NotReached,
}

impl State {
    fn class(self) -> &'static str {
        match self {
            State::Held => "held",
            State::Broke => "broke",
            State::Followed => "followed",
            State::Unasked => "unasked",
            State::CutShort | State::NotReached => "unreached",
        }
    }

    fn words(self, case: &Record) -> &'static str {
        match self {
            State::Held => "✓ held",
            State::Broke if case.outcome == Outcome::Blocked => "! blocked here",
            State::Broke => "✗ failed here",
            State::Followed => "✗ broke too",
            State::CutShort => "cut short",
            State::Unasked => "not asked",
            State::NotReached => "not reached",
        }
    }
}

/// A hop as people call it.
pub(super) fn name(hop: Hop) -> &'static str {
    match hop {
        Hop::SetUp => "Set-up",
        Hop::Admission => "Admission",
        Hop::Pod => "Pod",
        Hop::Token => "Token",
        Hop::Exchange => "Entra",
        Hop::Secret => "Key Vault",
    }
}

/// How each hop went, in order; nothing for a case that was not begun.
pub(super) fn states(case: &Record) -> Vec<(Hop, State)> {
    if case.checks.is_empty() && case.failures.is_empty() && case.timeline.is_empty() {
        return Vec::new();
    }
    let stopped = case.outcome == Outcome::Blocked && case.checks.is_empty();
    let broken = case.failures.first().map(|failure| failure.hop).or(stopped.then_some(Hop::SetUp));
    let state = |hop: Hop| {
        let held = || case.checks.iter().any(|check| check.met && check.hop == Some(hop));
        match broken {
            Some(broken) if hop == broken => State::Broke,
            _ if case.failures.iter().any(|failure| failure.hop == hop) => match hop {
                Hop::SetUp => State::CutShort,
                _ => State::Followed,
            },
            _ if held() || hop == Hop::SetUp => State::Held,
            Some(broken) if hop > broken => State::NotReached,
            _ => State::Unasked,
        }
    };
    HOPS.into_iter().map(|hop| (hop, state(hop))).collect()
}

/// The same as a row of stations.
pub(super) fn path(case: &Record) -> Markup {
    let states = states(case);
    markup! {
        @if !states.is_empty() {
            ol.path aria-label="From the pod to its secret" {
                @for (hop, state) in states {
                    li.(state.class()) {
                        span.hop { (name(hop)) }
                        span.state { (state.words(case)) }
                    }
                }
            }
        }
    }
}

/// The same in a line.
pub(super) fn line(case: &Record) -> Markup {
    let told: Vec<String> =
        states(case).into_iter().map(|(hop, state)| format!("{} {}", name(hop), state.words(case))).collect();
    markup! { @if !told.is_empty() { p.where { (told.join(" · ")) } } }
}
