//! Exit codes: automation depends on them, so they are documented, tested and repeated in the README.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Every case that ran came out as it should.
    Conformant,
    /// A case failed, was blocked, or passed where the register of deviations says it cannot.
    CaseFailed,
    /// Bad usage, or a scenario that cannot be read.
    Usage,
    /// Nothing ran: no case selected, or none applicable.
    NothingRan,
    /// The target is not fit to run on.
    TargetUnfit,
    /// Something that we made could not be removed.
    LeftBehind,
    /// Interrupted by the user.
    Interrupted,
}

impl Exit {
    /// Every way to end, with what it means, in the order of the codes.
    pub const ALL: [(Exit, &str); 7] = [
        (Exit::Conformant, "conformant: every case that ran had the expected outcome"),
        (Exit::CaseFailed, "a case failed, was blocked, or passed unexpectedly"),
        (Exit::Usage, "invalid usage, or an invalid scenario; the other scenarios ran"),
        (Exit::NothingRan, "nothing ran: no case was selected, or none is applicable on this target"),
        (Exit::TargetUnfit, "the target does not meet the prerequisites"),
        (Exit::LeftBehind, "cleanup was incomplete; `wi-conformance sweep` removes what is left"),
        (Exit::Interrupted, "interrupted"),
    ];

    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Conformant => 0,
            Exit::CaseFailed => 1,
            Exit::Usage => 2,
            Exit::NothingRan => 3,
            Exit::TargetUnfit => 4,
            Exit::LeftBehind => 5,
            Exit::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// A reason to stop, with how to end.
#[derive(Debug)]
pub struct Stop {
    /// How the program ends.
    pub exit: Exit,
    /// What to tell, a line each.
    pub lines: Vec<String>,
    /// What a program printed that did not start, where one did not.
    pub log: String,
}

impl Stop {
    /// One line.
    pub fn new(exit: Exit, line: impl Into<String>) -> Self {
        Stop::lines(exit, vec![line.into()])
    }

    /// Several lines.
    pub fn lines(exit: Exit, lines: Vec<String>) -> Self {
        Stop { exit, lines, log: String::new() }
    }

    /// An error with its sources.
    pub fn from_error(exit: Exit, error: &dyn std::error::Error) -> Self {
        Stop::new(exit, wi_engine::sentence(error))
    }
}
