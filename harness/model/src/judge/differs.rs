//! Where two texts that should be the same are not, so that nobody has to look for a slash or a blank.

/// Where `seen` departs from `wanted`, in a phrase; nothing where they are the same or have nothing in common.
pub(super) fn differs(wanted: &str, seen: &str) -> Option<String> {
    if wanted == seen {
        return None;
    }
    if wanted.trim() == seen.trim() {
        let (of, more) = if seen.len() > wanted.len() { (seen, "a blank more") } else { (wanted, "a blank less") };
        let place = if of.starts_with(char::is_whitespace) { "the beginning" } else { "the end" };
        return Some(format!("{more} at {place}"));
    }
    if let Some(rest) = seen.strip_prefix(wanted) {
        return Some(format!("extra `{}` at the end", short(rest)));
    }
    if let Some(rest) = wanted.strip_prefix(seen).filter(|_| !seen.is_empty()) {
        return Some(format!("missing `{}` at the end", short(rest)));
    }
    let at = wanted.chars().zip(seen.chars()).take_while(|(wanted, seen)| wanted == seen).count();
    let from = |text: &str| text.chars().skip(at).collect::<String>();
    if wanted.to_lowercase() == seen.to_lowercase() {
        let first = |text: String| text.chars().take(1).collect::<String>();
        return Some(format!(
            "only in letter case, first at character {}: `{}` for `{}`",
            at + 1,
            first(from(seen)),
            first(from(wanted))
        ));
    }
    let (wanted, seen) = (from(wanted), from(seen));
    let same_end = wanted.chars().rev().zip(seen.chars().rev()).take_while(|(wanted, seen)| wanted == seen).count();
    if at + same_end == 0 {
        return None;
    }
    let cut = |text: &str| text.chars().take(text.chars().count() - same_end).collect::<String>();
    Some(format!("from character {} on: `{}` for `{}`", at + 1, short(&cut(&seen)), short(&cut(&wanted))))
}

/// Whether two names are meant to be the same and differ in case, `_` for `-`, blanks or a letter.
pub(super) fn is_near(wanted: &str, seen: &str) -> bool {
    let plain = |text: &str| text.trim().to_lowercase().replace('_', "-");
    if wanted == seen {
        return false;
    }
    let (wanted, seen) = (plain(wanted), plain(seen));
    wanted == seen || wanted.replace('-', "") == seen.replace('-', "") || one_letter(&wanted, &seen)
}

/// Whether a letter more, less or another makes one text of the other.
fn one_letter(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 1 {
        return false;
    }
    let start = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let end = a[start..].iter().rev().zip(b[start..].iter().rev()).take_while(|(a, b)| a == b).count();
    a.len().max(b.len()) - start - end <= 1
}

fn short(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_difference_is_told() {
        let table = [
            ("https://x/y", "https://x/y/", "extra `/` at the end"),
            ("https://x/y/", "https://x/y", "missing `/` at the end"),
            ("api://A", "api://a", "only in letter case, first at character 7: `a` for `A`"),
            ("a b", "a b ", "a blank more at the end"),
            (" a", "a", "a blank less at the beginning"),
            ("system:serviceaccount:a:r", "system:serviceaccount:default:r", "from character 23 on: `default` for `a`"),
            ("client-id", "client_id", "from character 7 on: `_` for `-`"),
        ];
        for (wanted, seen, told) in table {
            assert_eq!(differs(wanted, seen).as_deref(), Some(told), "{wanted} {seen}");
        }
        assert_eq!(differs("a", "a"), None);
        assert_eq!(differs("abc", "xyz"), None);
    }

    #[test]
    fn names_that_are_meant_to_be_the_same_are_near() {
        assert!(
            is_near("client-id", "client_id") && is_near("client-id", "clientId") && is_near("client-id", "clent-id")
        );
        assert!(!is_near("client-id", "tenant-id") && !is_near("client-id", "client-id"));
    }
}
