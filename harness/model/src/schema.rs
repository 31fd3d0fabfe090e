//! The JSON Schemas of scenario and target files, for editors.

use serde_json::Value;

/// Keys of a scenario file that were renamed, old and new. The old ones work for one more release.
pub(crate) const RENAMED: [(&str, &str); 1] = [("saboteurs", "mutants")];

/// JSON Schema (2020-12) of a scenario file.
pub fn scenario() -> Value {
    let mut schema = schemars::schema_for!(crate::scenario::Scenario).to_value();
    schema["title"] = "wi-conformance scenario".into();
    for (old, new) in RENAMED {
        let mut renamed = schema["properties"][new].clone();
        renamed["deprecated"] = true.into();
        renamed["description"] = format!("The old name of `{new}`.").into();
        schema["properties"][old] = renamed;
    }
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
        for word in ["title", "requirements", "needs", "mutants", "saboteurs", "given", "when", "then"] {
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
