//! Reports as folds over records.

mod junit;
mod text;

pub use junit::junit;
pub use text::{case_text, markdown, text};
use wi_model::record::RunRecord;

/// `report.json`: the record itself, versioned.
pub fn json(run: &RunRecord) -> String {
    serde_json::to_string_pretty(run).map_or_else(|error| format!("{{\"error\":\"{error}\"}}"), |text| text + "\n")
}

#[cfg(test)]
mod example;

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
