//! A whole run in a word and a sentence, the same wherever it is told.

use wi_model::record::{Outcome, RunRecord};

/// What a run shows of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// Every case that ran came out as it should.
    Conformant,
    /// A case failed, or passed where the register of deviations says it cannot.
    NotConformant,
    /// No case failed, but some could not be judged: we or the set-up broke, not the product.
    NotJudged,
    /// No case was applicable.
    NothingRan,
    /// The run was ended before every case had run.
    Interrupted,
}

/// A whole run in a word and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) word: Word,
    pub(crate) sentence: String,
}

impl Word {
    /// The word as people read it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Word::Conformant => "Conformant",
            Word::NotConformant => "Not conformant",
            Word::NotJudged => "Could not be judged",
            Word::NothingRan => "Nothing ran",
            Word::Interrupted => "Interrupted",
        }
    }

    /// A sign for those who look at many runs.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Word::Conformant => "✅",
            Word::NotConformant | Word::Interrupted => "❌",
            Word::NotJudged | Word::NothingRan => "⚠️",
        }
    }
}

impl Verdict {
    pub(crate) fn of(run: &RunRecord) -> Self {
        let (ran, all) = (run.ran(), run.cases.len());
        let wrong = run.count(Outcome::Fail) + run.count(Outcome::UnexpectedPass);
        let blocked = run.count(Outcome::Blocked);
        let unjudged = match blocked {
            0 => String::new(),
            1 => "; 1 more was blocked".to_owned(),
            _ => format!("; {blocked} more were blocked"),
        };
        let known = match run.count(Outcome::ExpectedFail) {
            0 => String::new(),
            1 => "; 1 of them failed as registered".to_owned(),
            known => format!("; {known} of them failed as registered"),
        };
        let (word, sentence) = if run.interrupted {
            (
                Word::Interrupted,
                format!("not every case has run; {wrong} of {ran} did not have the expected outcome{unjudged}"),
            )
        } else if wrong > 0 {
            (
                Word::NotConformant,
                format!("{wrong} of {ran} cases that ran did not have the expected outcome{unjudged}"),
            )
        } else if blocked > 0 {
            let rest = if blocked == ran { "" } else { "; the others had the expected outcome" };
            let what = format!(
                "{blocked} of {ran} cases were blocked: the harness or the setup failed, not the product{rest}"
            );
            (Word::NotJudged, what)
        } else if ran == 0 {
            (Word::NothingRan, format!("none of {all} cases is applicable on this target"))
        } else if !run.leftovers.is_empty() {
            (Word::Conformant, format!("all {ran} cases had the expected outcome, but cleanup was incomplete{known}"))
        } else {
            (Word::Conformant, format!("all {ran} cases that ran had the expected outcome{known}"))
        };
        Verdict { word, sentence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    fn of(outcomes: &[Outcome]) -> (Word, String) {
        let mut run = example::run();
        run.cases.retain(|case| outcomes.contains(&case.outcome));
        let verdict = Verdict::of(&run);
        (verdict.word, verdict.sentence)
    }

    #[test]
    fn only_a_failure_or_an_unexpected_pass_makes_a_run_not_conformant() {
        use Outcome::{Blocked, ExpectedFail, Fail, NotApplicable, Pass, UnexpectedPass};
        for (outcomes, word) in [
            (&[Pass, ExpectedFail, NotApplicable][..], Word::Conformant),
            (&[Pass, Fail], Word::NotConformant),
            (&[Pass, UnexpectedPass], Word::NotConformant),
            (&[Fail, Blocked], Word::NotConformant),
            (&[Blocked], Word::NotJudged),
            (&[Blocked, Pass, NotApplicable], Word::NotJudged),
            (&[NotApplicable], Word::NothingRan),
        ] {
            assert_eq!(of(outcomes).0, word, "{outcomes:?}");
        }
        assert_eq!(of(&[Blocked]).1, "1 of 1 cases were blocked: the harness or the setup failed, not the product");
        assert!(of(&[Fail, Blocked]).1.ends_with("; 1 more was blocked"));
    }

    #[test]
    fn every_report_for_people_says_could_not_be_judged_of_a_run_whose_cases_were_all_blocked() {
        let mut run = example::run();
        run.cases.retain(|case| case.outcome == Outcome::Blocked);
        let pages = [crate::html(&run, &|_, _| None), crate::markdown(&run, crate::SUMMARY_LIMIT), crate::text(&run)];
        for page in pages {
            assert!(page.contains("Could not be judged"), "{page}");
            assert!(!page.to_lowercase().contains("not conformant"), "{page}");
            assert!(!page.contains('❌') && !page.contains("Failures"), "{page}");
        }
    }
}
