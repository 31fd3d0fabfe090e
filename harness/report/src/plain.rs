//! Text that any reader can take: what a terminal would act on is taken out, what no page can hold is made visible.

/// Text without terminal colours, with a picture for each control character and a mark for each character that turns the
/// order of others around, cut with a note after `longest` bytes.
pub(crate) fn plain(text: &str, longest: usize) -> String {
    let mut out = String::with_capacity(text.len().min(longest));
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\u{1b}' if characters.peek() == Some(&'[') => skip_sequence(&mut characters),
            '\t' | '\n' => out.push(c),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\0'..='\u{1f}' => out.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
            '\u{7f}' => out.push('\u{2421}'),
            '\u{80}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push_str(&format!("[U+{:04X}]", u32::from(c))),
            c => out.push(c),
        }
        if out.len() >= longest && characters.peek().is_some() {
            out.push_str(&format!("... (truncated, {} bytes in total)", text.len()));
            break;
        }
    }
    out
}

/// A terminal's control sequence: parameters, and one character from `@` to `~` that ends it.
fn skip_sequence(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    characters.next();
    while let Some(c) = characters.next_if(|c| (' '..='~').contains(c)) {
        if ('@'..='~').contains(&c) {
            break;
        }
    }
}

/// Text as people read it on a terminal or in the log of a CI server, where a line can be a command: control characters are
/// made visible, and what GitHub Actions (`::error::`, `##[group]`), Azure Pipelines (`##vso[..]`) or TeamCity
/// (`##teamcity[..]`) would obey is broken up by a blank. Everything that a pod, a manifest or a scenario says is printed
/// through this. Data for programs is not.
///
/// Sources: `actions/runner` ActionCommand.cs (`::` after leading blanks, `##[` anywhere in a line), Azure Pipelines
/// "Logging commands" (`##vso[`, `##[`), TeamCity "Service Messages".
pub fn for_terminal(text: &str) -> String {
    let text = plain(text, usize::MAX);
    let lines: Vec<String> = text.split('\n').map(without_command).collect();
    lines.join("\n")
}

/// A line that no CI server takes for a command.
fn without_command(line: &str) -> String {
    let line = match line.trim_start().strip_prefix("::") {
        Some(rest) => format!("{}: :{rest}", &line[..line.len() - line.trim_start().len()]),
        None => line.to_owned(),
    };
    let mut out = String::with_capacity(line.len());
    let mut rest = line.as_str();
    while let Some(at) = rest.find("##") {
        let (before, after) = (&rest[..=at], &rest[at + 1..]);
        out.push_str(before);
        if after[1..].starts_with(|c: char| c == '[' || c.is_ascii_alphabetic()) {
            out.push(' ');
        }
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_ci_server_obeys_is_left_in_what_people_read() {
        for (said, shown) in [
            ("::error::x", ": :error::x"),
            ("a\n  ::add-mask::x", "a\n  : :add-mask::x"),
            ("\u{1b}[0m::set-output name=a::b", ": :set-output name=a::b"),
            ("a\r::error::x", "a\u{240d}::error::x"),
            ("a ##vso[task.setvariable]b", "a # #vso[task.setvariable]b"),
            ("##[group]x ##[endgroup]", "# #[group]x # #[endgroup]"),
            ("###[error]x", "## #[error]x"),
            ("##teamcity[buildStop]", "# #teamcity[buildStop]"),
            ("\u{1b}]0;title\u{7}\u{9b}31m", "\u{241b}]0;title\u{2407}\u{fffd}31m"),
        ] {
            assert_eq!(for_terminal(said), shown);
            assert_eq!(for_terminal(shown), shown, "what is harmless stays as it is");
        }
        for harmless in ["a::b", "## heading", "#1", "http://[::1]:80", "time 1::2", "é ##"] {
            assert_eq!(for_terminal(harmless), harmless);
        }
    }

    #[test]
    fn colours_go_and_what_no_page_can_hold_is_seen() {
        assert_eq!(plain("a\u{1b}[1;31mb\u{1b}[0m\u{0}\u{fffe}c\r\n\u{1b}]", 99), "ab\u{2400}\u{fffd}c\n\u{241b}]");
        assert_eq!(plain("x\u{202e}y\u{85}", 99), "x[U+202E]y\u{fffd}");
        assert_eq!(plain("\u{1b}[31", 99), "");
    }

    #[test]
    fn what_is_too_long_is_cut_with_a_note_between_characters() {
        assert_eq!(plain(&"é".repeat(10), 8), format!("{}... (truncated, 20 bytes in total)", "é".repeat(4)));
        assert_eq!(plain("12345678", 8), "12345678");
    }
}
