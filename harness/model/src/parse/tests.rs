use super::*;

const GOOD: &str = "\
title: a pod reads its secret
requirements: [MUT-001]
mutants: [webhook/no-env]
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

/// Every fault, a line each.
fn fault(text: &str) -> String {
    let (scenario, mut faults) = read("s.yaml", text.as_bytes());
    faults.extend(scenario.iter().flat_map(|scenario| check_loaded("s.yaml", scenario)));
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
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
            && message.contains("undefined variable `namspace`")
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
    let message = fault(GOOD.split("then:").next().unwrap());
    assert!(message.starts_with("s.yaml:1:1: `then` is empty"), "{message}");
    for (from, to) in [("[MUT-001]", "[]"), ("[webhook/no-env]", "[]")] {
        let text = GOOD.replace(from, to);
        assert_eq!(fault(&text), "", "a suite of your own needs neither");
        let lacking = lacking("s.yaml", &scenario("s.yaml", text.as_bytes()).unwrap());
        assert!(lacking[0].to_string().contains("is empty"), "{lacking:?}");
    }
}

#[test]
fn every_fault_of_a_file_is_told_at_once_and_at_its_own_place() {
    let text = "\
titel: a pod reads its secret
given:
  azure:
    identities:
      app1: { federated: [ { subject: '{{nobody}}', isuer: x } ] }
    vaults:
      kv1: { secrets: { testsecret: Hello! }, access: [ { to: app2, secrets: [get, read] } ] }
  cluster:
    - service-account: { annotations: {} }
when:
  - create-pod: { name: p, imgae: quickstart/rust }
  - advance-time: soon
  - brake: { of: kv1, how: throttled }
then:
  - exchange: { by: p, as: app1 }
  - secret-read: { by: q, vault: kv2, secret: testsecret, outcome: allowed, within: 10 }
  - token: { of: p }
";
    let told = fault(text);
    let lines: Vec<&str> = told.lines().collect();
    let expected = [
        ("s.yaml:1:1: missing field `title`", ""),
        ("s.yaml:1:1: unknown field `titel`", "`title` is near"),
        ("s.yaml:5:39: undefined variable `nobody`", ""),
        ("s.yaml:5:53: unknown field `isuer`", "`issuer` is near"),
        ("s.yaml:7:63: identity or service principal `app2` is not declared", ""),
        ("s.yaml:7:84: unknown word `read`", "`get`, `list`, `set`, `delete`"),
        ("s.yaml:9:24: missing field `name`", ""),
        ("s.yaml:11:17: missing field `image`", ""),
        ("s.yaml:11:28: unknown field `imgae`", "`image` is near"),
        ("s.yaml:12:19: `soon`: a duration is a number and", ""),
        ("s.yaml:13:5: unknown word `brake`", "`break` is near"),
        ("s.yaml:15:15: missing field `outcome`", ""),
        ("s.yaml:16:34: vault `kv2` is not declared", ""),
        ("s.yaml:16:85: `10`: a duration is a number and", ""),
        ("s.yaml:17:12: missing field `subject`", ""),
        ("s.yaml:16:5: pod `q` is not declared", "declared: p"),
    ];
    for (start, part) in expected {
        assert!(
            lines.iter().any(|line| line.starts_with(start) && line.contains(part)),
            "{start} {part} is not in\n{told}"
        );
    }
    assert_eq!(lines.len(), expected.len(), "{told}");
    assert!(!told.contains(STAND_IN), "{told}");
}

#[test]
fn bytes_that_are_no_text_and_files_that_are_too_large_are_told_apart() {
    let error = scenario("s.yaml", b"title: \xff").unwrap_err();
    assert_eq!(error[0].to_string(), "s.yaml: byte 7 is not UTF-8; save the file as UTF-8");
    let error = scenario("s.yaml", &vec![b' '; MAX_BYTES + 1]).unwrap_err();
    let error = &error[0];
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
    let message = check_loaded("s.yaml", &read)[0].to_string();
    assert!(message.starts_with("s.yaml:11:") && message.contains("value for the variable `B`"), "{message}");
}

#[test]
fn a_fault_is_refused_where_it_does_not_happen_and_one_that_others_would_meet_has_a_case_to_itself() {
    let with = |fault: &str| {
        format!(
            "title: t\ngiven:\n  azure:\n    identities: {{ app1: {{}} }}\n    vaults: {{ kv1: {{}} }}\nwhen:\n  - break: {{ {fault} }}\nthen:\n  - object: {{ kind: Pod, name: p, absent: true }}\n"
        )
    };
    for (fault, expected) in [
        (
            "of: app1, how: private-link",
            "private-link does not happen at an identity or service principal: expected a vault",
        ),
        ("of: kv1, how: without-keys", "without-keys does not happen at a vault: expected the issuer"),
        ("of: issuer, how: throttled", "throttled does not happen at the issuer"),
        ("of: app1, how: lagging, times: 2", "leave `times` out"),
        ("of: kv2, how: cut", "`kv2` is not declared"),
    ] {
        let told = scenario("s.yaml", with(fault).as_bytes()).unwrap_err();
        assert!(told[0].to_string().contains(expected), "{fault}: {}", told[0]);
    }
    for (fault, alone) in [
        ("of: kv1, how: private-link", false),
        ("of: app1, how: blocked-by-policy, times: 1", false),
        ("of: issuer, how: unavailable, times: 1", true),
        ("of: resource-manager, how: throttled", true),
    ] {
        let scenario = scenario("s.yaml", with(fault).as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}"));
        let case = crate::plan::Case {
            id: "a/s".into(),
            file: "s.yaml".into(),
            scenario,
            sabotage: None,
            variation: Vec::new(),
        };
        assert_eq!(case.alone(), alone, "{fault}");
    }
}
