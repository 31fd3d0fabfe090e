//! The JSON Schema of a scenario file, for editors.

use serde_json::Value;

/// JSON Schema (2020-12) of a scenario file.
pub fn scenario() -> Value {
    let mut schema = schemars::schema_for!(crate::scenario::Scenario).to_value();
    schema["title"] = "wi-conformance scenario".into();
    schema
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_knows_the_words_and_refuses_others() {
        let schema = super::scenario();
        assert_eq!(schema["additionalProperties"], false);
        for word in ["title", "requirements", "needs", "saboteurs", "given", "when", "then"] {
            assert!(schema["properties"][word].is_object(), "{word}");
        }
        let text = schema.to_string();
        for word in ["create-pod", "apply", "admission", "token-volume", "exchange", "secret-read", "without-env"] {
            assert!(text.contains(&format!("\"{word}\"")), "{word}");
        }
        assert!(!text.contains("decoy") && !text.contains("loaded"));
    }
}
