//! `--filter`: which scenarios are meant, as an expression such as `requirement(EXC-*) and not slow()`.

use std::str::FromStr;

use wi_model::catalogue::{Catalogue, Level};
use wi_model::parse;
use wi_model::plan::Case;
use wi_model::record::{Check, Outcome, Record, RunRecord};
use wi_model::verdict::Hop;

/// How long a case took in the last run that counts as slow, in milliseconds.
const SLOW_MS: u64 = 1_000;

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    /// The id holds the text, or is matched by it as a whole where it has a `*`.
    Id(String),
    /// A requirement that the scenario names.
    Requirement(String),
    /// How binding one of its requirements is.
    Level(Level),
    /// A hop that one of its expectations looks at.
    Hop(Hop),
    /// How it came out in the last run.
    Outcome(Outcome),
    /// It took more than a second in the last run.
    Slow,
    /// Nothing may run beside it.
    Alone,
}

/// What an expression is asked about.
pub struct Known<'a> {
    pub requirements: &'a Catalogue,
    /// The last run, where there was one.
    pub past: Option<&'a RunRecord>,
}

impl Filter {
    /// Whether it asks about the last run.
    pub fn asks_about_the_past(&self) -> bool {
        match self {
            Filter::All(parts) | Filter::Any(parts) => parts.iter().any(Filter::asks_about_the_past),
            Filter::Not(part) => part.asks_about_the_past(),
            Filter::Outcome(_) | Filter::Slow => true,
            Filter::Id(_) | Filter::Requirement(_) | Filter::Level(_) | Filter::Hop(_) | Filter::Alone => false,
        }
    }

    /// Whether a case is meant.
    pub fn selects(&self, case: &Case, known: &Known<'_>) -> bool {
        let past = || -> Option<&Record> { known.past?.cases.iter().find(|record| record.id == case.id) };
        let mut requirements = case.scenario.requirements.iter().map(|id| id.value.as_str());
        match self {
            Filter::All(parts) => parts.iter().all(|part| part.selects(case, known)),
            Filter::Any(parts) => parts.iter().any(|part| part.selects(case, known)),
            Filter::Not(part) => !part.selects(case, known),
            Filter::Id(pattern) if pattern.contains('*') => matches(pattern, &case.id),
            Filter::Id(part) => case.id.contains(part.as_str()),
            Filter::Requirement(pattern) => requirements.any(|id| matches(pattern, id)),
            Filter::Level(level) => {
                requirements.any(|id| known.requirements.get(id).is_some_and(|found| found.level == *level))
            }
            Filter::Hop(hop) => {
                parse::expectations(&case.scenario).any(|expectation| Check::hop_of(&expectation.value) == *hop)
            }
            Filter::Outcome(outcome) => past().is_some_and(|record| record.outcome == *outcome),
            Filter::Slow => past().is_some_and(|record| record.duration_ms > SLOW_MS),
            Filter::Alone => case.alone(),
        }
    }
}

/// Whether a text is of a form, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    rest.ends_with(last)
}

impl FromStr for Filter {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let filter = reader.any()?;
        reader.blanks();
        if reader.rest().is_empty() { Ok(filter) } else { Err(reader.expected("`and`, `or` or the end")) }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn expected(&self, what: &str) -> String {
        let found = self.rest().chars().take(20).collect::<String>();
        let found = if found.is_empty() { "the end".to_owned() } else { format!("`{found}`") };
        format!("expected {what}, found {found} at column {}", self.text[..self.at].chars().count() + 1)
    }

    /// Takes a word that stands by itself.
    fn word(&mut self, word: &str) -> bool {
        self.blanks();
        let taken = self.rest().strip_prefix(word).is_some_and(|behind| {
            !behind.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-')
                || !word.ends_with(|c: char| c.is_ascii_alphanumeric())
        });
        if taken {
            self.at += word.len();
        }
        taken
    }

    fn any(&mut self) -> Result<Filter, String> {
        let mut parts = vec![self.all()?];
        while self.word("or") || self.word("|") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::Any(parts) })
    }

    fn all(&mut self) -> Result<Filter, String> {
        let mut parts = vec![self.one()?];
        while self.word("and") || self.word("&") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::All(parts) })
    }

    fn one(&mut self) -> Result<Filter, String> {
        if self.word("not") || self.word("!") {
            return Ok(Filter::Not(Box::new(self.one()?)));
        }
        if self.word("(") {
            let inner = self.any()?;
            return if self.word(")") { Ok(inner) } else { Err(self.expected("`)`")) };
        }
        self.blanks();
        let name_ends = self.rest().find('(').ok_or_else(|| self.expected(PREDICATES))?;
        let name = &self.rest()[..name_ends];
        let behind = &self.rest()[name_ends + 1..];
        let ends = behind.find(')').ok_or_else(|| self.expected("a predicate with its `)`"))?;
        let about = behind[..ends].trim();
        let filter = predicate(name.trim(), about).map_err(|what| self.expected(what))?;
        self.at += name_ends + 1 + ends + 1;
        Ok(filter)
    }
}

const PREDICATES: &str =
    "one of id(..), requirement(..), level(..), hop(..), outcome(..), slow(), alone(), `not` or `(`";

fn predicate(name: &str, about: &str) -> Result<Filter, &'static str> {
    let hops = [Hop::SetUp, Hop::Admission, Hop::Pod, Hop::Token, Hop::Exchange, Hop::Secret];
    match name {
        "id" if !about.is_empty() => Ok(Filter::Id(about.to_owned())),
        "requirement" if !about.is_empty() => Ok(Filter::Requirement(about.to_owned())),
        "level" => match about {
            "must" => Ok(Filter::Level(Level::Must)),
            "must-not" => Ok(Filter::Level(Level::MustNot)),
            "should" => Ok(Filter::Level(Level::Should)),
            "may" => Ok(Filter::Level(Level::May)),
            _ => Err("level(must), level(must-not), level(should) or level(may)"),
        },
        "hop" => {
            let hop = hops.into_iter().find(|hop| hop.word() == about);
            hop.map(Filter::Hop)
                .ok_or("hop(set-up), hop(admission), hop(pod), hop(token), hop(exchange) or hop(secret)")
        }
        "outcome" => {
            let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.word() == about);
            outcome.map(Filter::Outcome).ok_or(
                "outcome(pass), outcome(fail), outcome(blocked), outcome(expected-fail), outcome(unexpected-pass) or outcome(not-applicable)",
            )
        }
        "slow" if about.is_empty() => Ok(Filter::Slow),
        "alone" if about.is_empty() => Ok(Filter::Alone),
        _ => Err(PREDICATES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: &str, requirement: &str, then: &str) -> Case {
        let text = format!(
            "title: t\nrequirements: [{requirement}]\nwhen:\n  - create-pod: {{ name: p, image: i }}\nthen:\n  - {then}\n"
        );
        let scenario = parse::scenario("s.yaml", text.as_bytes()).unwrap();
        Case { id: id.to_owned(), file: "s.yaml".to_owned(), scenario, sabotage: None, variation: Vec::new() }
    }

    fn selected(expression: &str) -> Vec<&'static str> {
        let cases = [
            ("exchange/a", case("exchange/a", "EXC-001", "exchange: { by: p, outcome: granted }")),
            ("vault/b", case("vault/b", "KV-002", "admission: { of: p, outcome: mutated }")),
        ];
        let filter: Filter = expression.parse().unwrap();
        let known = Known { requirements: &Catalogue::new(), past: None };
        cases.iter().filter(|(_, case)| filter.selects(case, &known)).map(|(id, _)| *id).collect()
    }

    #[test]
    fn expressions_select_by_id_requirement_and_hop_and_are_joined() {
        for (expression, expected) in [
            ("id(a)", &["exchange/a", "vault/b"][..]),
            ("id(vault/*)", &["vault/b"]),
            ("requirement(EXC-*)", &["exchange/a"]),
            ("requirement(EXC)", &[]),
            ("hop(exchange) or requirement(KV-002)", &["exchange/a", "vault/b"]),
            ("not hop(exchange)", &["vault/b"]),
            ("(id(exchange) | id(vault)) & !requirement(*-001)", &["vault/b"]),
            ("not slow() and not alone()", &["exchange/a", "vault/b"]),
        ] {
            assert_eq!(selected(expression), expected, "{expression}");
        }
    }

    #[test]
    fn what_is_no_expression_is_told_with_what_was_expected_and_where() {
        for (expression, expected) in [
            ("", "expected one of id(..)"),
            ("id(a) und id(b)", "expected `and`, `or` or the end, found `und id(b)` at column 7"),
            ("hop(vault)", "expected hop(set-up)"),
            ("id()", "expected one of id(..)"),
            ("(id(a)", "expected `)`, found the end"),
            ("level(must", "a predicate with its `)`"),
        ] {
            let error = expression.parse::<Filter>().unwrap_err();
            assert!(error.contains(expected), "{expression}: {error}");
        }
    }
}
