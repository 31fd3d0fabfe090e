//! The only module that prints. Text for people is escaped here, once; data for programs is written as it is.
//!
//! A reader that went away (`| head`) is no error. Output that cannot be written for another reason, such as a full disk,
//! is remembered, so that the program does not end as if everything had been said.

use std::io::{ErrorKind, Write};
use std::sync::OnceLock;

use wi_report::for_terminal;

/// Why standard output could not be written, the first time.
static OUTPUT_FAULT: OnceLock<String> = OnceLock::new();

/// A line for people on standard output: what was asked for.
pub fn say(line: impl AsRef<str>) {
    data(for_terminal(line.as_ref()));
}

/// A line for people on standard error: what went wrong, and how things go.
pub fn tell(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "{}", for_terminal(line.as_ref()));
}

/// A line for programs on standard output, byte for byte: a document, a workflow command, a line that we coloured.
pub fn data(line: impl AsRef<str>) {
    let mut output = std::io::stdout().lock();
    if let Err(error) = writeln!(output, "{}", line.as_ref()).and_then(|()| output.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = OUTPUT_FAULT.set(error.to_string());
    }
}

/// Why standard output lacks something that was printed; `None` while it lacks nothing.
pub fn output_fault() -> Option<&'static str> {
    OUTPUT_FAULT.get().map(String::as_str)
}

/// Where people read how a run goes: standard output, unless another program reads that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForPeople {
    Output,
    Error,
}

impl ForPeople {
    /// A line for them.
    pub fn line(self, line: impl AsRef<str>) {
        match self {
            ForPeople::Output => say(line),
            ForPeople::Error => tell(line),
        }
    }

    /// A line in which everything that is not ours is escaped already, and the rest must stay: colours, workflow commands.
    pub fn exact(self, line: impl AsRef<str>) {
        match self {
            ForPeople::Output => data(line),
            ForPeople::Error => _ = writeln!(std::io::stderr().lock(), "{}", line.as_ref()),
        }
    }
}
