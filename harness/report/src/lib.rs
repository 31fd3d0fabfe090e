//! Reports as folds over records.

mod coverage;
mod diff;
mod events;
mod github;
mod html;
mod junit;
mod merge;
mod plain;
mod shape;
mod text;
mod verdict;

pub use coverage::{COVERAGE_VERSION, Counts, Coverage, Covered, Shower, coverage};
pub use diff::{Differences, diff};
pub use events::{EVENT_VERSION, Event, Shard, Unreadable, concatenate, fold, line, planned};
pub use github::{SUMMARY_LIMIT, annotations, markdown};
pub use html::{Documents, LARGEST_DOCUMENT, html};
pub use junit::junit;
pub use plain::for_terminal;
pub use shape::{Shapes, add_shape, shape_differences};
pub use text::{case_text, text};
use wi_model::record::RunRecord;

/// `report.json`: the record itself, versioned.
pub fn json(run: &RunRecord) -> String {
    serde_json::to_string_pretty(run).map_or_else(|error| format!("{{\"error\":\"{error}\"}}"), |text| text + "\n")
}

/// Reads a `report.json` back.
///
/// # Errors
/// It is no report, or one of a version that this program does not know.
pub fn read(text: &str) -> Result<RunRecord, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("invalid JSON: {error}"))?;
    let known = wi_model::record::REPORT_VERSION;
    match value["version"].as_u64() {
        Some(version) if version == u64::from(known) => {}
        Some(version) => return Err(format!("expected a report of version {known}, found version {version}")),
        None => return Err("not a report: `version` is missing".to_owned()),
    }
    serde_json::from_value(value).map_err(|error| format!("not a report of version {known}: {error}"))
}

#[cfg(test)]
mod example;
#[cfg(test)]
mod folding;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_report_is_read_back_as_the_same_record() {
        let run = example::run();
        let read: RunRecord = serde_json::from_str(&json(&run)).unwrap();
        assert_eq!(read.version, wi_model::record::REPORT_VERSION);
        assert_eq!(json(&read), json(&run));
    }
}
