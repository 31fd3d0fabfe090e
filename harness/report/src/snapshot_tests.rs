//! Every report of one run as a snapshot: a change of wording is read as a whole, not as a list of fragments.

use crate::example;

#[test]
fn the_terminal_report_of_a_failed_run_reads_as_in_its_snapshot() {
    insta::assert_snapshot!("terminal", crate::text(&example::run()));
}

#[test]
fn the_junit_report_of_a_failed_run_reads_as_in_its_snapshot() {
    insta::assert_snapshot!("junit", crate::junit(&example::run()));
}

#[test]
fn the_markdown_summary_of_a_failed_run_reads_as_in_its_snapshot() {
    insta::assert_snapshot!("markdown", crate::markdown(&example::run(), crate::SUMMARY_LIMIT));
}

#[test]
fn the_annotations_of_a_failed_run_read_as_in_their_snapshot() {
    insta::assert_snapshot!("annotations", crate::annotations(&example::run(), &str::to_owned).join("\n"));
}
