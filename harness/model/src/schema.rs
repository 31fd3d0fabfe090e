//! The JSON Schemas of scenario and target files, for editors.

use serde_json::Value;

/// JSON Schema (2020-12) of a scenario file.
pub fn scenario() -> Value {
    let mut schema = schemars::schema_for!(crate::scenario::Scenario).to_value();
    schema["title"] = "wi-conformance scenario".into();
    schema
}

/// JSON Schema (2020-12) of a target file.
pub fn target() -> Value {
    let mut schema = schemars::schema_for!(crate::target::file::TargetFile).to_value();
    schema["title"] = "wi-conformance target".into();
    schema
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_of_a_target_knows_its_words_and_no_place_for_a_secret() {
        let schema = super::target();
        assert_eq!(schema["additionalProperties"], false);
        let text = schema.to_string();
        for word in ["managed-cluster", "kubeconfig", "credential", "ci-token", "name-prefix", "time-limit"] {
            assert!(text.contains(&format!("\"{word}\"")), "{word}");
        }
        assert!(!text.contains("hidden"));
    }

    #[test]
    fn the_schema_knows_the_words_and_refuses_others() {
        let schema = super::scenario();
        assert_eq!(schema["additionalProperties"], false);
        for word in ["title", "requirements", "needs", "saboteurs", "given", "when", "then"] {
            assert!(schema["properties"][word].is_object(), "{word}");
        }
        let text = schema.to_string();
        for word in
            ["create-pod", "apply", "admission", "token-volume", "exchange", "metadata", "secret-read", "without-env"]
        {
            assert!(text.contains(&format!("\"{word}\"")), "{word}");
        }
        assert!(!text.contains("decoy") && !text.contains("loaded"));
    }
}
