//! What is kept of a run: one record a case, versioned.

use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::located::Position;
use crate::plan::Case;
use crate::product::Product;
use crate::scenario::Expectation;
use crate::verdict::{Difference, Hop};

/// Version of the shape of `report.json`; a change that a reader can trip over raises it.
pub const REPORT_VERSION: u32 = 1;

/// The six outcomes, never mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every expectation was met.
    Pass,
    /// An expectation was not met.
    Fail,
    /// An expectation was not met, as the register of known deviations says.
    ExpectedFail,
    /// Every expectation was met although the register says otherwise: the register is stale.
    UnexpectedPass,
    /// The target lacks a capability that the case needs.
    NotApplicable,
    /// We or the set-up broke, not the product.
    Blocked,
}

impl Outcome {
    /// Every outcome, in the order of reports.
    pub const ALL: [Outcome; 6] = [
        Outcome::Fail,
        Outcome::UnexpectedPass,
        Outcome::Blocked,
        Outcome::Pass,
        Outcome::ExpectedFail,
        Outcome::NotApplicable,
    ];

    /// The word used in reports.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::ExpectedFail => "expected-fail",
            Outcome::UnexpectedPass => "unexpected-pass",
            Outcome::NotApplicable => "not-applicable",
            Outcome::Blocked => "blocked",
        }
    }

    /// Whether it keeps a run from being called conformant.
    pub fn is_red(self) -> bool {
        matches!(self, Outcome::Fail | Outcome::UnexpectedPass | Outcome::Blocked)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunRecord {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// The run's id.
    pub run: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Durations, in order: what was made ready, and the cases.
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// What was judged, and where.
    pub environment: Environment,
    /// One record a case, in order of id.
    pub cases: Vec<Record>,
    /// What was made and could not be removed.
    pub leftovers: Vec<String>,
    /// Whether it was interrupted before every case had run.
    pub interrupted: bool,
    /// What a reader must know of the record itself: a log that was cut off, runs that were merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The requirements that scenarios name, shown in this run or not.
    #[serde(default, skip_serializing_if = "Catalogue::is_empty")]
    pub requirements: Catalogue,
}

/// A part of a run's time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Phase {
    /// What was done.
    pub what: String,
    /// For how long, in milliseconds.
    pub ms: u64,
}

/// What was judged, and where.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Environment {
    /// The target's name.
    pub target: String,
    /// The webhook under test, with its version.
    pub webhook: String,
    /// What product it is, and which version; `None` is unknown.
    #[serde(default)]
    pub product: Option<Product>,
    /// Its profile, where known.
    pub profile: Option<String>,
    /// The API server's version.
    pub kubernetes: Option<String>,
    /// The harness's version.
    pub harness: String,
    /// Capabilities of the target.
    pub capabilities: Vec<String>,
}

impl Environment {
    /// The webhook under test with its product, in a phrase.
    pub fn judged(&self) -> String {
        match &self.product {
            // Without a webhook there is no product either.
            None if self.webhook == "none" => self.webhook.clone(),
            None => format!("{} (product unknown)", self.webhook),
            Some(product) => format!("{} ({product})", self.webhook),
        }
    }
}

/// One case from start to verdict.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// The scenario's id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its file, relative.
    pub file: String,
    /// The requirements that it shows.
    pub requirements: Vec<String>,
    /// Where its set-up comes from.
    pub source: Option<String>,
    /// The mutant that it ran under.
    pub sabotage: Option<String>,
    /// What came out.
    pub outcome: Outcome,
    /// Why, where the outcome needs a reason: what is missing, what broke, which deviation is known.
    pub reason: Option<String>,
    /// Expectations that were not met, in order; the first is the broken hop.
    pub failures: Vec<Failure>,
    /// Every expectation, met or not.
    pub checks: Vec<Check>,
    /// When it began, RFC 3339.
    pub started: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What happened when.
    pub timeline: Vec<Moment>,
    /// Folder of the evidence, relative to the report's.
    pub evidence: Option<String>,
    /// The command that runs it again as it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<String>,
    /// Files in that folder.
    pub artefacts: Vec<String>,
}

/// An expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// The hop that broke.
    pub hop: Hop,
    /// What was expected.
    pub expected: String,
    /// What was observed.
    pub observed: String,
    /// Of a field-by-field comparison every single change, of which `observed` tells the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// What to do about it, where that is known.
    pub advice: Option<String>,
    /// Where the scenario says so.
    pub at: Position,
    /// How often the world was looked at.
    pub looks: u32,
    /// For how long, in milliseconds.
    pub waited_ms: u64,
}

impl Failure {
    /// What a judgement told, beside where the scenario asks for it and how long that was waited for.
    pub fn of(told: Difference, at: Position, looks: u32, waited_ms: u64) -> Self {
        let Difference { hop, expected, observed, changes, advice } = told;
        Failure { hop, expected, observed, changes, advice, at, looks, waited_ms }
    }
}

/// An expectation and how it went.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Check {
    /// What was expected, in a sentence.
    pub expectation: String,
    /// The hop that it looks at, where the record tells.
    #[serde(default)]
    pub hop: Option<Hop>,
    /// Where the scenario says so.
    pub at: Position,
    /// Whether it was met.
    pub met: bool,
    /// Whether it was judged: one that was not waited for, because an earlier one had failed, is neither met nor broken.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub judged: bool,
    /// Whether it was met by the pod's word alone, because the target keeps no record of requests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub word_alone: bool,
    /// Whether it is made wherever a target can tell, whatever the scenario expects: a run on a target that cannot tell lacks
    /// it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unasked: bool,
    /// How often the world was looked at.
    pub looks: u32,
    /// For how long, in milliseconds.
    pub waited_ms: u64,
}

fn yes() -> bool {
    true
}

/// A moment of a case.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Moment {
    /// Milliseconds after the case began.
    pub at_ms: u64,
    /// What happened.
    pub what: String,
}

impl Check {
    /// Something that was judged by one look, and expected by the scenario.
    pub fn looked_once(expectation: String, hop: Hop, at: Position, met: bool) -> Check {
        Check {
            expectation,
            hop: Some(hop),
            at,
            met,
            judged: true,
            word_alone: false,
            unasked: false,
            looks: 1,
            waited_ms: 0,
        }
    }

    /// How it came out, in a word.
    pub fn word(&self) -> &'static str {
        match (self.judged, self.met, self.word_alone) {
            (false, ..) => "not judged",
            (true, false, _) => "not met",
            (true, true, false) => "met",
            (true, true, true) => "met, only by the pod's own output",
        }
    }

    /// The hop that an expectation looks at.
    pub fn hop_of(expectation: &Expectation) -> Hop {
        match expectation {
            Expectation::Admission(_)
            | Expectation::Pod(_)
            | Expectation::Event(_)
            | Expectation::Object(_)
            | Expectation::Access(_)
            | Expectation::Webhook(_) => Hop::Admission,
            Expectation::Log(_) => Hop::Pod,
            Expectation::Token(_) | Expectation::Issuer(_) | Expectation::TokenReview(_) => Hop::Token,
            Expectation::Exchange(_) | Expectation::Metadata(_) => Hop::Exchange,
            Expectation::SecretRead(_) | Expectation::NoCredential(_) | Expectation::Challenge(_) => Hop::Secret,
        }
    }
}

impl Record {
    /// The record of a case that begins now: blocked, until something else comes out.
    pub fn begin(case: &Case, started: String) -> Self {
        Record {
            id: case.id.clone(),
            title: case.scenario.title.value.clone(),
            file: case.file.clone(),
            requirements: case.scenario.requirements.iter().map(|id| id.value.clone()).collect(),
            source: case.scenario.source.clone(),
            sabotage: case.sabotage.clone(),
            outcome: Outcome::Blocked,
            reason: None,
            failures: Vec::new(),
            checks: Vec::new(),
            started,
            duration_ms: 0,
            timeline: Vec::new(),
            evidence: None,
            again: None,
            artefacts: Vec::new(),
        }
    }
}

impl RunRecord {
    /// How many cases came out so.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.cases.iter().filter(|case| case.outcome == outcome).count()
    }

    /// How many cases really ran.
    pub fn ran(&self) -> usize {
        self.cases.len() - self.count(Outcome::NotApplicable)
    }
}
