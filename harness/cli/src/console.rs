//! The only room that talks. A reader that went away (`| head`) is no error.

use std::io::Write;

/// A line on standard output: what was asked for.
pub(crate) fn say(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout().lock(), "{}", line.as_ref());
}

/// A line on standard error: what went wrong, and how things go.
pub(crate) fn tell(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "{}", line.as_ref());
}

/// Where people read how a run goes: standard output, unless another program reads that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForPeople {
    Output,
    Error,
}

impl ForPeople {
    /// A line for them.
    pub(crate) fn line(self, line: impl AsRef<str>) {
        match self {
            ForPeople::Output => say(line),
            ForPeople::Error => tell(line),
        }
    }
}
