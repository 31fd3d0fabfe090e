//! Old spellings, which work for one more release with a notice. `docs/glossary.md` has the new terms.

use crate::args::Command;
use wi_conformance::console;

/// Options with a new name, old and new.
const OPTIONS: [(&str, &str); 3] = [("--saboteur", "--mutant"), ("--defect", "--mutant"), ("--break", "--mutant")];

/// Tells which words of the command line have a new spelling.
pub(crate) fn on_the_command_line(command: &Command) {
    for notice in notices(command, std::env::args().skip(1)) {
        console::tell(format!("wi-conformance: note: {notice}"));
    }
}

fn notices(command: &Command, words: impl Iterator<Item = String>) -> Vec<String> {
    let words: Vec<String> = words.collect();
    let mut notices = Vec::new();
    let is_old = matches!(command, Command::Sabotage(_)) && !words.iter().any(|word| word == "mutants");
    if is_old && words.iter().any(|word| word == "sabotage") {
        notices.push("the command `sabotage` is deprecated; use `mutants`".to_owned());
    }
    for (old, new) in OPTIONS {
        if words.iter().any(|word| word.split('=').next() == Some(old)) {
            notices.push(format!("the option `{old}` is deprecated; use `{new}`"));
        }
    }
    notices
}

/// Tells of the deprecated keys in scenario files, the first of them with its place.
pub(crate) fn in_files(notices: &[String]) {
    let Some(first) = notices.first() else { return };
    let more = match notices.len() {
        1 => String::new(),
        count => format!(" (and in {} more files)", count - 1),
    };
    console::tell(format!("wi-conformance: note: {first}{more}"));
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn told(line: &str) -> Vec<String> {
        let words = line.split(' ').map(str::to_owned);
        let cli = crate::args::Cli::try_parse_from(words.clone()).unwrap();
        notices(&cli.command, words.skip(1))
    }

    #[test]
    fn old_spellings_are_accepted_with_a_notice_and_new_ones_without() {
        assert_eq!(told("wi-conformance sabotage --list"), ["the command `sabotage` is deprecated; use `mutants`"]);
        let option = ["the option `--saboteur` is deprecated; use `--mutant`"];
        assert_eq!(told("wi-conformance run --saboteur webhook/no-env"), option);
        assert_eq!(told("wi-conformance run --saboteur=webhook/no-env"), option);
        assert_eq!(told("wi-conformance mutants sabotage"), Vec::<String>::new());
        assert_eq!(told("wi-conformance run --mutant webhook/no-env"), Vec::<String>::new());
    }
}
