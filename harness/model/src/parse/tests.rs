use super::*;

const GOOD: &str = "\
title: a pod reads its secret
requirements: [MUT-001]
saboteurs: [webhook/no-env]
given:
  azure:
    identities:
      app1: { federated: [ { subject: 'system:serviceaccount:{{namespace}}:sa' } ] }
    vaults:
      kv1: { secrets: { testsecret: Hello! }, access: [ { to: app1, secrets: [get] } ] }
when:
  - create-pod: { name: p, image: quickstart/rust }
then:
  - exchange: { by: p, as: app1, outcome: granted }
  - exchange: { by: p, outcome: { refused: AADSTS700213 } }
  - secret-read: { by: p, vault: kv1, secret: testsecret, outcome: allowed, within: 10s }
";

fn fault(text: &str) -> String {
    match scenario("s.yaml", text.as_bytes()).and_then(|s| check_loaded("s.yaml", &s).map(|()| s)) {
        Ok(_) => "none".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_scenario_is_read_with_the_place_of_each_step_and_expectation() {
    let scenario = scenario("s.yaml", GOOD.as_bytes()).unwrap();
    assert_eq!((scenario.when[0].at.line, scenario.then[2].at.line), (11, 15));
    assert_eq!(scenario.then[2].value.within(), Some(std::time::Duration::from_secs(10)));
    assert_eq!(pods(&scenario), ["p"]);
}

#[test]
fn an_unknown_word_is_an_error_with_line_and_column_and_the_known_words() {
    let message = fault(&GOOD.replace("create-pod:", "creat-pod:"));
    assert!(
        message.starts_with("s.yaml:11:") && message.contains("creat-pod") && message.contains("create-pod"),
        "{message}"
    );
    let message = fault(&GOOD.replace("image:", "imgae:"));
    assert!(message.starts_with("s.yaml:11:") && message.contains("imgae") && message.contains("image"), "{message}");
    let message = fault(&GOOD.replace("outcome: granted", "outcome: given"));
    assert!(message.starts_with("s.yaml:13:") && message.contains("given") && message.contains("granted"), "{message}");
}

#[test]
fn a_name_that_stands_for_nothing_is_an_error_at_its_place() {
    let message = fault(&GOOD.replace("{{namespace}}", "{{namspace}}"));
    assert!(
        message.starts_with("s.yaml:7:")
            && message.contains("nothing is called `namspace`")
            && message.contains("namespace"),
        "{message}"
    );
}

#[test]
fn references_that_lead_nowhere_are_errors_with_what_is_declared() {
    let cases = [
        (
            "to: app1",
            "to: app2",
            "identity or service principal `app2` is not declared in this scenario; declared: app1",
        ),
        ("vault: kv1", "vault: kv2", "vault `kv2`"),
        ("secret: testsecret", "secret: other", "secret `other`"),
        ("{ by: p, as: app1", "{ by: q, as: app1", "pod `q` is not declared in this scenario; declared: p"),
    ];
    for (from, to, expected) in cases {
        let message = fault(&GOOD.replace(from, to));
        assert!(message.contains(expected) && message.starts_with("s.yaml:"), "{message}");
    }
}

#[test]
fn empty_lists_that_would_make_a_case_pass_for_nothing_are_errors() {
    for (from, to) in [("[MUT-001]", "[]"), ("[webhook/no-env]", "[]")] {
        let message = fault(&GOOD.replace(from, to));
        assert!(message.contains("is empty"), "{message}");
    }
}

#[test]
fn bytes_that_are_no_text_and_files_that_are_too_large_are_told_apart() {
    let error = scenario("s.yaml", b"title: \xff").unwrap_err();
    assert_eq!(error.to_string(), "s.yaml: byte 7 is not UTF-8; save the file as UTF-8");
    let error = scenario("s.yaml", &vec![b' '; MAX_BYTES + 1]).unwrap_err();
    assert!(error.to_string().contains("1048577 bytes; a scenario or manifest may have at most 1048576"), "{error}");
}

#[test]
fn every_text_is_reached_by_the_visitor() {
    let mut read = scenario("s.yaml", GOOD.as_bytes()).unwrap();
    let mut seen = Vec::new();
    read.each_text(&mut |text: &mut Text| {
        seen.push(text.value.clone());
        Ok::<(), ()>(())
    })
    .unwrap();
    for text in ["system:serviceaccount:{{namespace}}:sa", "Hello!", "quickstart/rust", "AADSTS700213", "p"] {
        assert!(seen.iter().any(|s| s == text), "{text}: {seen:?}");
    }
}

#[test]
fn a_manifest_variable_without_a_value_is_an_error() {
    let text = GOOD
        .replace("create-pod: { name: p, image: quickstart/rust }", "apply: { files: [pod.yaml], values: { A: x } }");
    let mut read = scenario("s.yaml", text.as_bytes()).unwrap();
    for manifests in manifests_mut(&mut read) {
        let object =
            serde_json::json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" }, "x": "${A} ${B}" });
        manifests.loaded.push(crate::scenario::LoadedObject { file: "pod.yaml".into(), object });
    }
    let message = check_loaded("s.yaml", &read).unwrap_err().to_string();
    assert!(message.starts_with("s.yaml:11:") && message.contains("value for the variable `B`"), "{message}");
}
