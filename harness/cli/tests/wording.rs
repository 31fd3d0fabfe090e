//! Retired words: one term per idea in everything that people read. `docs/glossary.md` has the terms.
//!
//! Comments, strings, documents and scenarios are searched; identifiers are not.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::path::{Path, PathBuf};

use regex::Regex;

/// Retired words, as patterns without regard to case, and what to write instead.
const RETIRED: &[(&str, &str)] = &[
    (r"\brungs?\b", "target"),
    (r#"(^|[^\w"])saboteurs?\b"#, "mutant"),
    (r#"(^|[^\w"])sabotag(e|es|ed|ing)\b"#, "mutant"),
    (
        r#"(^|[^\w/"`{:.-])defects?\b"#,
        "mutant, for a part that is built wrong on purpose; fault, for what real Azure does",
    ),
    (r"\b(turn|turns|turned|turning) (it |them |a scenario |the scenario )?red\b", "fail"),
    (r"\b(cases|scenarios?) (are|is|was|were) red\b", "fail"),
    (r"\bred cases?\b", "failed case"),
    (r"\b(one|image|images|cluster|object|namespace|mark|folder|token|label|nothing|none) of ours\b", "name the owner"),
    (r"\bthe (same )?road\b", "target, or path"),
    (r"\bstanding (emulator|cluster|clusters|alone)\b", "standalone, or kept"),
    (r"\b(is|are) to be had\b", "is available"),
    (r"\bbrings? no token\b", "unauthenticated"),
    (r"\ba slash more\b", "an extra trailing slash"),
    (r"\blate knowledge\b", "propagation delay"),
    (r"\bnot for us to see\b", "no permission to read"),
    (r"\bsomebody else's\b", "another user's"),
    (r"\btold otherwise\b", "varied"),
    (r"\bwords of the domain\b", "domain types"),
    (r"\bback door\b", "name what is bypassed"),
    (r"\bby the API server's word\b", "the API server refuses"),
    (r"\banew\b", "again"),
    (r"\b(who|whoever) of us\b", "name who"),
    (r"\bset-up, 1 of 1\b", "the only setup step"),
];

/// Where the old spellings are named because they are still accepted, or were once.
const ALIASES: &[&str] = &["CHANGELOG.md", "deprecated.rs", "wording.rs"];

/// Folders with what others wrote, or what is generated.
const NOT_OURS: &[&str] = &[".git", "target", "reports", "node_modules", "corpus", "recordings", "snapshots"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() {
            if !NOT_OURS.contains(&name.as_str()) && !name.starts_with("target") {
                files(&path, found);
            }
        } else if ["rs", "md", "yaml", "yml", "toml", "sh"].iter().any(|e| path.extension().is_some_and(|x| x == *e))
            && !ALIASES.contains(&name.as_str())
        {
            found.push(path);
        }
    }
}

/// Lines of a Rust source with its comments and strings alone; where code stood there is nothing.
fn comments_and_strings(source: &str) -> String {
    let mut read = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (length, kept) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), true)
        } else if rest.starts_with("r\"")
            || rest.starts_with("r#") && rest[1..].trim_start_matches('#').starts_with('"')
        {
            let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
            let end = format!("\"{}", "#".repeat(hashes));
            let from = 2 + hashes;
            (rest[from..].find(&end).map_or(rest.len(), |at| from + at + end.len()), true)
        } else if first == '"' {
            (string(rest), true)
        } else if first == '\'' {
            // A character, else a lifetime.
            let escaped = rest[1..].starts_with('\\');
            let end = rest[1..].char_indices().skip(usize::from(escaped) + 1).take(8).find(|(_, c)| *c == '\'');
            match end {
                Some((at, _)) if escaped || rest[1..].chars().nth(1) == Some('\'') => (at + 2, false),
                _ => (1, false),
            }
        } else {
            (first.len_utf8(), first == '\n')
        };
        let (part, after) = rest.split_at(length);
        if kept {
            read.push_str(part);
        } else {
            // Strings of one line stay apart.
            read.push(' ');
        }
        rest = after;
    }
    read
}

/// How long a string literal is, its quotes included.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

#[test]
fn nothing_that_people_read_uses_a_retired_word() {
    let retired: Vec<(Regex, &str, &str)> = RETIRED
        .iter()
        .map(|(pattern, instead)| (Regex::new(&format!("(?i){pattern}")).unwrap(), *pattern, *instead))
        .collect();
    let (root, mut paths, mut found) = (root(), Vec::new(), Vec::new());
    files(&root, &mut paths);
    assert!(paths.len() > 400, "only {} files were searched", paths.len());
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let is_source = path.extension().is_some_and(|e| e == "rs");
        let text = if is_source { comments_and_strings(&text) } else { text };
        for (number, line) in text.lines().enumerate() {
            // An alias is an old spelling that is accepted on purpose.
            for (pattern, _, instead) in retired.iter().filter(|(pattern, ..)| pattern.is_match(line)) {
                let word = pattern.find(line).map_or("", |found| found.as_str()).trim();
                let place = path.strip_prefix(&root).unwrap().display().to_string();
                found.push(format!("{place}:{}: `{word}`; write: {instead}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{} retired words:\n{}", found.len(), found.join("\n"));
}

#[test]
fn comments_and_strings_are_searched_and_identifiers_are_not() {
    let read = comments_and_strings(
        "fn rung<'a>() { say(\"the \\\" rung\", r#\"a \"rung\"#, '\"', '\\''); } // rung\nlet rung = 1;\n",
    );
    assert_eq!(read.matches("rung").count(), 3, "{read}");
    assert_eq!(read.lines().count(), 2);
}
