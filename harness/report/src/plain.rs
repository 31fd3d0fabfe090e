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
            out.push_str(&format!("... (cut, {} bytes in all)", text.len()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_and_what_no_page_can_hold_is_seen() {
        assert_eq!(plain("a\u{1b}[1;31mb\u{1b}[0m\u{0}\u{fffe}c\r\n\u{1b}]", 99), "ab\u{2400}\u{fffd}c\n\u{241b}]");
        assert_eq!(plain("x\u{202e}y\u{85}", 99), "x[U+202E]y\u{fffd}");
        assert_eq!(plain("\u{1b}[31", 99), "");
    }

    #[test]
    fn what_is_too_long_is_cut_with_a_note_between_characters() {
        assert_eq!(plain(&"é".repeat(10), 8), format!("{}... (cut, 20 bytes in all)", "é".repeat(4)));
        assert_eq!(plain("12345678", 8), "12345678");
    }
}
