//! A run on GitHub: the job summary, and annotations at the lines of scenarios.

use wi_model::record::{Outcome, Record, RunRecord};

use crate::case_text;
use crate::text::counts;
use crate::verdict::Verdict;

/// The most that a job summary may hold; GitHub throws a larger one away as a whole.
pub const SUMMARY_LIMIT: usize = 1024 * 1024;

/// The most annotations of a kind that GitHub shows for a step.
const ANNOTATIONS: usize = 10;

/// The longest text of one case, so that one of them does not keep the others out.
const LONGEST: usize = 16 * 1024;

/// The run as Markdown of at most `limit` bytes: the verdict, then what failed and why, then every case.
pub fn markdown(run: &RunRecord, limit: usize) -> String {
    let verdict = Verdict::of(run);
    let heading = format!("## {} {}\n\n", verdict.word.sign(), verdict.word.text());
    let mut blocks = vec![heading, format!("{}.\n\n{}\n\n", inline(&verdict.sentence), inline(&counts(run)))];
    blocks.extend(run.notes.iter().map(|note| format!("> {}\n\n", inline(note))));
    let red: Vec<&Record> = run.cases.iter().filter(|case| case.outcome.is_red()).collect();
    blocks.extend(red.iter().map(|case| fenced(&cut(&case_text(case), LONGEST))));
    blocks.push("| case | outcome | ms |\n| --- | --- | ---: |\n".to_owned());
    blocks.extend(
        run.cases
            .iter()
            .map(|case| format!("| {} | {} | {} |\n", inline(&cut(&case.id, LONGEST)), case.outcome, case.duration_ms)),
    );
    blocks.push("\n".to_owned());
    let total: usize = blocks.iter().map(String::len).sum();
    if total <= limit {
        return blocks.concat();
    }
    let note =
        |left: usize| format!("\n\n_{left} parts are omitted here; `report.html` and `junit.xml` are complete._\n");
    let room = limit.saturating_sub(note(blocks.len()).len());
    let mut out = String::new();
    let mut kept = 0;
    for block in &blocks {
        if out.len() + block.len() > room {
            break;
        }
        out.push_str(block);
        kept += 1;
    }
    out.push_str(&note(blocks.len() - kept));
    if out.len() <= limit { out } else { String::new() }
}

/// Lines that make GitHub show what failed beside the line of the scenario that says so. `place` tells where a file of
/// the record is in the repository.
pub fn annotations(run: &RunRecord, place: &dyn Fn(&str) -> String) -> Vec<String> {
    let red: Vec<&Record> = run.cases.iter().filter(|case| case.outcome.is_red()).collect();
    let shown = if red.len() > ANNOTATIONS { ANNOTATIONS - 1 } else { red.len() };
    let mut lines: Vec<String> = red[..shown]
        .iter()
        .map(|case| {
            let at = case.failures.first().map(|failure| failure.at).unwrap_or_default();
            let column = if at.column > 0 { format!(",col={}", at.column) } else { String::new() };
            let title = format!("{} {}", case.outcome, case.id);
            let text = match (case.failures.first(), &case.reason) {
                (Some(failure), _) if case.outcome == Outcome::Fail => {
                    let advice = failure.advice.iter().map(|advice| format!("\n{advice}")).collect::<String>();
                    format!("{}: expected {}; observed {}{advice}", failure.hop, failure.expected, failure.observed)
                }
                (_, reason) => reason.clone().unwrap_or_else(|| case.title.clone()),
            };
            format!(
                "::error file={},line={}{column},title={}::{}",
                property(&place(&case.file)),
                at.line.max(1),
                property(&title),
                data(&cut(&text, 4096))
            )
        })
        .collect();
    if shown < red.len() {
        lines.push(format!("::error title=wi-conformance::{} more cases failed; see the summary", red.len() - shown));
    }
    lines
}

/// Text as a workflow command takes it.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The same for a property, which commas and colons end.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Text in a line of Markdown, with nothing in it that Markdown or HTML takes for its own.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '@' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Text in a block whose fence is longer than any in it.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let text: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    format!("{fence}text\n{text}\n{fence}\n\n")
}

/// The first bytes of a text, with a note when there were more.
pub(crate) fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let mut end = longest;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}... (truncated, {} bytes in total)", &text[..end], text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn the_summary_has_the_verdict_each_red_case_and_a_row_a_case() {
        let page = markdown(&example::run(), SUMMARY_LIMIT);
        assert!(
            page.starts_with("## ❌ Not conformant\n\n2 of 5 cases") && page.contains("\n6 cases: 1 fail"),
            "{page}"
        );
        assert_eq!(page.lines().filter(|line| line.starts_with("| a/") || line.starts_with("| b/")).count(), 6);
        assert!(page.contains("```text\nfail a/fails: title of a/fails\n") && page.contains("AADSTS700211"), "{page}");
    }

    #[test]
    fn a_summary_is_cut_between_its_parts_with_a_note_and_never_over_its_limit() {
        let mut run = example::run();
        let case = run.cases[0].clone();
        run.cases = (0..3000).map(|i| Record { id: format!("a/{i}"), ..case.clone() }).collect();
        run.cases[0].failures[0].observed = "é".repeat(1024 * 1024);
        for limit in [SUMMARY_LIMIT, 5000, 200, 10, 0] {
            let page = markdown(&run, limit);
            assert!(page.len() <= limit, "{} over {limit}", page.len());
            assert!(limit < 5000 || page.contains("parts are omitted here"), "{limit}");
            assert_eq!(page.matches("```").count() % 2, 0, "every fence is closed");
        }
        assert!(markdown(&run, SUMMARY_LIMIT).contains("a/900"));
    }

    #[test]
    fn nothing_in_a_name_becomes_markup() {
        assert_eq!(inline("a|b<img>`c`\n[d](e)"), "a\\|b&lt;img&gt;\\`c\\` \\[d\\](e)");
        assert!(fenced("```\nx").starts_with("````text\n"));
    }

    #[test]
    fn annotations_stand_at_the_line_of_the_scenario_and_cannot_be_broken_out_of() {
        let mut run = example::run();
        run.cases[0].failures[0].observed = "50%\n::error::forged\r".into();
        run.cases[0].id = "a/b:c,d".into();
        let lines = annotations(&run, &|file| format!("sub/{file}"));
        assert_eq!(lines.len(), 3);
        assert_eq!(
            lines[0],
            "::error file=sub/scenarios/a/fails.yaml,line=9,col=5,title=fail a/b%3Ac%2Cd::exchange: expected an access token of \
             client c; observed 50%25%0A::error::forged%0D%0Acompare the issuers"
        );
        assert!(lines[1].ends_with("::the setup failed: no vault"), "{}", lines[1]);
        assert!(lines.iter().all(|line| !line.contains(['\n', '\r'])));
    }

    #[test]
    fn more_annotations_than_github_shows_are_counted() {
        let mut run = example::run();
        run.cases = std::iter::repeat_n(run.cases[0].clone(), 25).collect();
        let lines = annotations(&run, &str::to_owned);
        assert_eq!(
            (lines.len(), lines[9].as_str()),
            (10, "::error title=wi-conformance::16 more cases failed; see the summary")
        );
    }
}
