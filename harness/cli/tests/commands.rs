//! What users type and read: the program itself, from outside.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SCENARIO: &str = "\
title: a labelled pod is mutated
requirements: [A-1]
mutants: [webhook/no-env]
when:
  - create-pod: { name: p, image: quickstart/pause, labels: { azure.workload.identity/use: 'true' } }
then:
  - admission: { of: p, outcome: mutated }
";

/// A folder of scenarios with one good one, and everything else that a run writes.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write("requirements.yaml", "A-1: { level: must, statement: s, source: u }\n");
        folder.write("area/good.yaml", SCENARIO);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wi-conformance"));
        command.args(args).current_dir(self.0.path()).env("WI_CONFORMANCE_SCENARIOS", self.0.path());
        command.env("WI_CONFORMANCE_STATE_DIR", self.path("state")).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        read(self.command(args).output().unwrap())
    }
}

fn read(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[test]
fn bad_scenarios_end_with_code_2_and_the_place() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("area/bad.yaml", SCENARIO.replace("create-pod", "creat-pod").leak().as_bytes(), "bad.yaml:5:"),
        ("area/bad.yaml", SCENARIO.replace("image: q", "imgae: q").leak().as_bytes(), "bad.yaml:5:"),
        ("area/bad.yaml", SCENARIO.replace("of: p,", "of: q,").leak().as_bytes(), "bad.yaml:7:"),
        ("area/bad.yaml", SCENARIO.replace("name: p,", "name: '{{nobody}}',").leak().as_bytes(), "bad.yaml:5:"),
        ("area/bad.yaml", SCENARIO.replace("A-1", "A-2").leak().as_bytes(), "unknown requirement `A-2`"),
        ("area/bad.yaml", SCENARIO.replace("webhook/no-env", "webhook/nothing").leak().as_bytes(), "unknown mutant"),
        ("area/bad.yaml", b"title: \xff\xfe", "byte 7 is not UTF-8"),
        ("area/good.yml", SCENARIO.as_bytes(), "id `area/good"),
        ("area/bad.yaml", b"", "bad.yaml"),
    ];
    for (name, text, expected) in cases {
        let folder = Folder::new();
        folder.write(name, text);
        for command in ["plan", "list"] {
            let (code, _, err) = folder.run(&[command]);
            assert_eq!(code, 2, "{command} {name}: {err}");
            assert!(err.contains(expected), "{command} {name}: expected {expected} in {err}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_used_stops_itself_alone_and_the_exit_code_says_so() {
    let folder = Folder::new();
    folder.write("area/bad.yaml", SCENARIO.replace("image: q", "imgae: q").replace("of: p,", "of: q,"));
    let (code, out, err) = folder.run(&["run"]);
    assert_eq!(code, 2, "{out}{err}");
    assert!(out.contains("Conformant: all 1 cases that ran"), "the others run: {out}");
    for part in ["bad.yaml:5:", "unknown field `imgae`", "missing field `image`", "bad.yaml:7:", "pod `q`"] {
        assert!(err.contains(part), "every fault is told, {part}: {err}");
    }
    assert!(err.contains("skipped invalid files: ") && err.contains("area/bad.yaml"), "{err}");
    folder.write("area/good.yaml", "title: [");
    assert_eq!(folder.run(&["run"]).0, 2, "nothing is left to run");
}

#[test]
fn a_suite_of_ones_own_needs_no_catalogue_and_no_mutants_and_strict_demands_both() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let plain = SCENARIO.replace("requirements: [A-1]\nmutants: [webhook/no-env]\n", "");
    folder.write("good.yaml", &plain);
    folder.write("k8s/deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }\n");
    let (code, out, err) = folder.run(&["run"]);
    assert_eq!((code, err.contains("wi-conformance: ")), (0, false), "{out}{err}");
    assert!(out.contains("all 1 cases that ran"), "a file at the top is a scenario, and manifests are none: {out}");
    let (code, _, err) = folder.run(&["list", "--strict"]);
    assert_eq!(code, 2);
    for part in ["requirements.yaml: cannot be read", "good.yaml:1:1: `requirements` is empty", "`mutants` is empty"] {
        assert!(err.contains(part), "{part}: {err}");
    }
}

#[test]
fn the_suite_is_in_the_program_and_can_be_added_to_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wi-conformance"));
        command.args(args).current_dir(folder.path()).env_remove("WI_CONFORMANCE_SCENARIOS").stdin(Stdio::null());
        read(command.output().unwrap())
    };
    let (code, out, err) = run(&["list", "--strict"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.lines().count() >= 123 && out.contains("quickstart/article  "), "{out}");
    std::fs::create_dir(folder.path().join("mine")).unwrap();
    std::fs::write(folder.path().join("mine/own.yaml"), SCENARIO).unwrap();
    let (_, alone, _) = run(&["list", "--scenarios", "mine"]);
    assert_eq!(alone.lines().count(), 1, "{alone}");
    let (code, both, err) = run(&["list", "--scenarios", "mine", "--with-catalogue"]);
    assert_eq!((code, both.lines().count()), (0, out.lines().count() + 1), "{err}");
    assert!(run(&["list", "--with-catalogue"]).0 == 2);
}

/// What `run` will say, `plan` says before.
#[test]
fn a_plan_says_what_a_run_then_says() {
    let folder = Folder::new();
    let with = |name: &str, text: &str| folder.write(&format!("area/{name}.yaml"), text);
    let then = "then:\n  - object: { kind: Pod, name: p, absent: true }\n";
    with(
        "kind",
        &format!(
            "title: t\nwhen:\n  - apply: {{ objects: [ {{ apiVersion: flowcontrol.apiserver.k8s.io/v1, kind: FlowSchema, metadata: {{ name: x }} }} ] }}\n{then}"
        ),
    );
    with(
        "name",
        &format!("title: t\ngiven: {{ namespace: kube-system }}\nwhen:\n  - apply: {{ objects: [] }}\n{then}"),
    );
    with(
        "image",
        "title: t\nwhen:\n  - create-pod: { name: p, image: shop/web:1 }\nthen:\n  - log: { of: p, line: x }\n",
    );
    with("profile", &format!("title: t\nprofiles: ['1.5']\nwhen:\n  - apply: {{ objects: [] }}\n{then}"));
    let (code, planned, err) = folder.run(&["plan"]);
    assert_eq!(code, 1, "{planned}{err}");
    assert!(planned.contains("1 of 5 scenarios would run, 3 would be blocked"), "{planned}");
    let (code, ran, err) = folder.run(&["run"]);
    assert_eq!(code, 1, "{ran}{err}");
    assert!(ran.contains("Could not be judged: 3 of 4 cases were blocked"), "{ran}");
    let json = std::fs::read_to_string(folder.path("reports/latest/report.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    for case in json["cases"].as_array().unwrap() {
        let (id, outcome) = (case["id"].as_str().unwrap(), case["outcome"].as_str().unwrap());
        let reason = case["reason"].as_str().unwrap_or_default();
        let word = match outcome {
            "blocked" => "blocked",
            "not-applicable" => "not applicable",
            _ => "runs",
        };
        let line = format!("{word:>14}  {id}");
        let planned =
            planned.lines().find(|planned| planned.starts_with(&line)).unwrap_or_else(|| panic!("{line}: {planned}"));
        assert!(planned.contains(reason), "{planned} does not say {reason}");
    }
}

/// Six ordinary files of an application, as they lie in a repository.
fn ordinary_files(folder: &Folder) {
    let id = "11111111-2222-3333-4444-555555555555";
    folder.write("k8s/namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n");
    folder.write("k8s/serviceaccount.yaml", format!("apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: web\n  namespace: shop\n  annotations: {{ azure.workload.identity/client-id: {id} }}\n"));
    folder.write("k8s/configmap.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: web, namespace: shop }\ndata: { KEYVAULT_URL: 'https://shop-kv.vault.azure.net/', SECRET_NAME: db-password }\n");
    folder.write("k8s/deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web, namespace: shop }\nspec:\n  selector: { matchLabels: { app: web } }\n  template:\n    metadata: { labels: { app: web, azure.workload.identity/use: 'true' } }\n    spec:\n      serviceAccountName: web\n      containers: [ { name: web, image: 'registry.example:5000/shop/web:1.4', envFrom: [ { configMapRef: { name: web } } ] } ]\n");
    folder.write("k8s/service.yaml", "apiVersion: v1\nkind: Service\nmetadata: { name: web, namespace: shop }\nspec: { selector: { app: web }, ports: [ { port: 80 } ] }\n");
    folder.write("k8s/ingress.yaml", "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: { name: web, namespace: shop }\nspec: { defaultBackend: { service: { name: web, port: { number: 80 } } } }\n");
}

const ORDINARY: &str = "\
title: the web pod reads its secret
given:
  namespace: shop
  azure:
    identities:
      web: { client-id: 11111111-2222-3333-4444-555555555555, principal-id: aaaaaaaa-2222-3333-4444-555555555555, federated: [ { subject: 'system:serviceaccount:shop:web' } ] }
    vaults:
      shop-kv: { name: shop-kv, secrets: { db-password: '{{random}}' }, access: [ { to: web, secrets: [get] } ] }
  cluster:
    - manifests: { files: [ k8s/namespace.yaml, k8s/serviceaccount.yaml, k8s/configmap.yaml ] }
when:
  - apply: { files: [ k8s/deployment.yaml, k8s/service.yaml, k8s/ingress.yaml ] }
then:
  - admission: { of: deployment/web, outcome: mutated }
  - exchange: { by: deployment/web, as: web, outcome: granted }
  - secret-read: { by: deployment/web, vault: shop-kv, secret: db-password, outcome: allowed }
";

#[test]
fn ordinary_files_with_literal_ids_and_an_image_of_their_own_are_judged_as_they_are() {
    let folder = Folder(tempfile::tempdir().unwrap());
    ordinary_files(&folder);
    folder.write("reads.yaml", ORDINARY);
    let (code, out, _) = folder.run(&["plan"]);
    assert!(code == 1 && out.contains("`--image registry.example:5000/shop/web=PROGRAM`"), "{out}");
    let (code, out, err) = folder.run(&["run", "--image", "registry.example:5000/shop/web=quickstart/rust"]);
    assert_eq!(code, 0, "{out}{err}");
    // The same, said for the whole suite; and with an issuer that the files name.
    folder.write("suite.yaml", "pods: { images: { 'registry.example:5000/shop/web': quickstart/rust } }\n");
    let issuer = "https://oidc.example.org/tenant/";
    folder.write(
        "reads.yaml",
        ORDINARY
            .replace("  namespace: shop\n", &format!("  namespace: shop\n  issuer: {issuer}\n"))
            .replace("{ subject", &format!("{{ issuer: '{issuer}', subject")),
    );
    let (code, out, err) = folder.run(&["run"]);
    assert_eq!(code, 0, "{out}{err}");
    // Where ids cannot be chosen it is not applicable, and says what is lacking.
    folder.write("reads.yaml", ORDINARY);
    folder.write("kubeconfig", "apiVersion: v1\nkind: Config\n");
    folder.write("target.yml", "kubeconfig: kubeconfig\nazure: { tenant: 11111111-1111-1111-1111-111111111111, subscription: 11111111-1111-1111-1111-111111111111, location: westeurope }\n");
    let (_, out, _) = folder.run(&["plan", "--target", "target.yml"]);
    assert!(out.contains("not applicable  reads  the target lacks chosen-ids"), "{out}");
    // The Namespace may come with the others, in a step.
    folder.write(
        "reads.yaml",
        ORDINARY
            .replace("k8s/namespace.yaml, ", "")
            .replace("[ k8s/deployment", "[ k8s/namespace.yaml, k8s/deployment"),
    );
    let (code, out, err) = folder.run(&["run"]);
    assert_eq!(code, 0, "{out}{err}");
    // An intended failure.
    folder.write("reads.yaml", ORDINARY.replace("system:serviceaccount:shop:web", "system:serviceaccount:shop:wbe"));
    let (code, out, _) = folder.run(&["run"]);
    assert!(code == 1 && out.contains("AADSTS700213"), "{out}");
}

#[test]
fn init_writes_a_scenario_for_manifests_that_is_green_and_touches_nothing_that_is_there() {
    let folder = Folder(tempfile::tempdir().unwrap());
    ordinary_files(&folder);
    let files = ["namespace", "serviceaccount", "configmap", "deployment", "service", "ingress"];
    let files: Vec<String> = files.iter().map(|name| format!("k8s/{name}.yaml")).collect();
    let args: Vec<&str> = ["init", "--from"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let (code, out, err) = folder.run(&args);
    assert!(code == 0 && out.contains("next: wi-conformance run --scenarios ."), "{out}{err}");
    let (code, out, err) = folder.run(&["run", "--scenarios", "."]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("Conformant: all 1 cases"), "{out}");
    let (code, _, err) = folder.run(&args);
    assert!(code == 2 && err.contains("exists already"), "{err}");
    let (code, _, err) = folder.run(&["init", "new", "--from", "k8s/service.yaml"]);
    assert!(code == 2 && err.contains("no pod and no workload") && !folder.path("new").exists(), "{err}");
}

#[test]
fn a_suite_whose_expectation_holds_for_another_container_is_told_so() {
    let folder = Folder(tempfile::tempdir().unwrap());
    ordinary_files(&folder);
    let web =
        "{ name: web, image: 'registry.example:5000/shop/web:1.4', envFrom: [ { configMapRef: { name: web } } ] }";
    let side = web.replace("name: web,", "name: side,");
    let deployment = std::fs::read_to_string(folder.path("k8s/deployment.yaml")).unwrap();
    folder.write("k8s/deployment.yaml", deployment.replace(web, &format!("{web}, {side}")));
    folder.write("suite.yaml", "pods: { images: { 'registry.example:5000/shop/web': quickstart/rust } }\n");
    folder.write("reads.yaml", ORDINARY);
    let (code, out, err) = folder.run(&["mutants"]);
    assert!(out.contains("reads  under setup/misleads-container"), "{out}{err}");
    // Either the container that was misled counts, or the suite is told that another one stood in for it.
    let told = out.contains("holds for another container") && code == 1;
    assert!(told || (out.contains("1 killed") && code == 0), "{out}");
}

#[test]
fn an_expression_selects_scenarios_and_one_that_is_none_is_usage() {
    let folder = Folder::new();
    folder.write("other/also.yaml", SCENARIO);
    let (code, out, _) = folder.run(&["list", "--filter", "requirement(A-*) and not id(other)"]);
    assert!(code == 0 && out.contains("area/good") && !out.contains("other/also"), "{out}");
    let (code, _, err) = folder.run(&["list", "--filter", "level(shall)"]);
    assert!(code == 2 && err.contains("level(must)"), "{err}");
    let (code, _, err) = folder.run(&["list", "--filter", "outcome(fail)"]);
    assert!(code == 2 && err.contains("need a run before"), "{code} {err}");
    assert_eq!(folder.run(&["list", "--filter", "hop(secret)"]).0, 3);
}

#[test]
fn a_run_that_fails_fast_begins_no_further_case_and_a_repeated_one_ends_with_the_first_that_is_red() {
    let folder = Folder::new();
    folder.write("area/also.yaml", SCENARIO);
    let (code, out, _) = folder.run(&["run", "--fail-fast", "--jobs", "1", "--mutant", "webhook/no-env"]);
    assert!(code == 1 && out.contains("1 fail, 1 blocked") && out.contains("(--fail-fast)"), "{out}");
    let (code, out, _) = folder.run(&["run", "good", "--repeat", "2"]);
    assert!(code == 0 && out.contains("round 2 of 2"), "{out}");
    let (code, out, _) = folder.run(&["run", "good", "--repeat", "3", "--mutant", "webhook/no-env"]);
    assert!(code == 1 && out.contains("round 1 of 3") && !out.contains("round 2"), "{out}");
}

#[test]
fn a_file_of_ten_megabytes_is_refused_without_being_read() {
    let folder = Folder::new();
    folder.write("area/large.yaml", vec![b'#'; 10 * 1024 * 1024]);
    let (code, _, err) = folder.run(&["list"]);
    assert_eq!(code, 2);
    assert!(err.contains("large.yaml: cannot be read: 10485760 bytes"), "{err}");
}

#[test]
fn every_fault_of_every_file_is_told_at_once() {
    let folder = Folder::new();
    folder.write("area/one.yaml", "title: [");
    folder.write("area/two.yaml", "tilte: x");
    let (_, _, err) = folder.run(&["list"]);
    assert!(err.contains("one.yaml:") && err.contains("two.yaml:"), "{err}");
}

#[test]
fn missing_files_folders_and_targets_are_named() {
    let folder = Folder::new();
    folder.write(
        "area/lost.yaml",
        SCENARIO.replace(
            "create-pod: { name: p, image: quickstart/pause, labels: { azure.workload.identity/use: 'true' } }",
            "apply: { files: [none.yaml] }",
        ),
    );
    let (code, _, err) = folder.run(&["list"]);
    assert!(code == 2 && err.contains("lost.yaml:5:") && err.contains("none.yaml"), "{code} {err}");
    let folder = Folder::new();
    let (code, _, err) = folder.run(&["run", "--scenarios", "nowhere"]);
    assert!(code == 2 && err.contains("nowhere: cannot be read: no such folder"), "{code} {err}");
    let (code, _, err) = folder.run(&["run", "--target", "moon"]);
    assert!(code == 2 && err.contains("moon") && err.contains("embedded"), "{code} {err}");
    let (code, _, err) = folder.run(&["run", "--webhook", "exec:/nowhere"]);
    assert!(code == 2 && err.contains("exec:/nowhere"), "{code} {err}");
    let (code, _, err) = folder.run(&["run", "--mutant", "nobody"]);
    assert!(code == 2 && err.contains("unknown mutant"), "{code} {err}");
    let (code, _, err) = folder.run(&["rnu"]);
    assert!(code == 2 && err.contains("rnu"), "{code} {err}");
}

#[test]
fn an_empty_selection_ends_with_code_3() {
    let folder = Folder::new();
    for command in ["run", "plan", "list", "mutants"] {
        let (code, _, err) = folder.run(&[command, "no-such-scenario"]);
        assert_eq!(code, 3, "{command}: {err}");
        assert!(err.contains("no scenario of") && err.contains("no-such-scenario"), "{err}");
    }
}

#[test]
fn coverage_names_what_is_shown_and_strict_ends_with_code_1_while_a_scenario_is_owed() {
    let folder = Folder::new();
    let (code, out, err) = folder.run(&["coverage", "--strict"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("runs  area/good") && out.contains("1 requirements: 1 covered"), "{out}");
    folder.write("area/good.yaml", SCENARIO.replace("mutants:", "needs: [webhook]\nmutants:"));
    let (_, out, _) = folder.run(&["coverage", "--webhook", "none"]);
    assert!(out.contains("not applicable  area/good  the target lacks webhook"), "{out}");

    let more = "A-1: { level: must, statement: s, source: u }\nA-2: { level: may, statement: s, source: u }\n\
                A-3: { level: must, statement: s, source: u, elsewhere: a real vault }\n";
    folder.write("requirements.yaml", more);
    let (code, out, _) = folder.run(&["coverage", "--strict"]);
    assert_eq!(code, 0, "neither what may hold nor what cannot be covered here is mandatory: {out}");
    assert!(out.contains("takes  a real vault"), "{out}");

    folder.write("requirements.yaml", format!("{more}A-4: {{ level: must-not, statement: s, source: u }}\n"));
    let (code, out, err) = folder.run(&["coverage", "--strict", "--format", "json"]);
    assert_eq!(code, 1, "{out}");
    assert!(err.contains("no scenario covers the mandatory requirements A-4"), "{err}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["counts"]["holes"], 1);
    assert_eq!(folder.run(&["coverage"]).0, 0, "only --strict fails on holes");
    assert!(!folder.path("reports").exists() && !folder.path("state").exists(), "it touches nothing");
}

#[test]
fn a_folder_with_somebody_elses_files_is_not_emptied() {
    let folder = Folder::new();
    folder.write("precious/file", "keep");
    let (code, _, err) = folder.run(&["run", "--out", "precious"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("is not a report directory"), "{err}");
    assert!(folder.path("precious/file").exists());
}

#[test]
fn the_schema_is_json_and_lists_the_words() {
    let (code, out, _) = Folder::new().run(&["schema"]);
    assert_eq!(code, 0);
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(schema["properties"]["mutants"].is_object());
}

#[test]
fn a_run_leaves_reports_and_nothing_else_and_a_failing_one_names_hop_expected_observed_and_place() {
    let folder = Folder::new();
    let (code, out, err) = folder.run(&["run"]);
    assert_eq!(code, 0, "{out}{err}");
    for file in ["junit.xml", "report.json", "events.jsonl", "cases/area/good"] {
        assert!(folder.path("reports/latest").join(file).exists(), "{file}");
    }
    assert_eq!(left(&folder.path("state")), Vec::<PathBuf>::new());

    let (code, out, err) = folder.run(&["run", "--mutant", "webhook/no-env"]);
    assert_eq!(code, 1, "{out}{err}");
    for part in ["admission", "expected", "observed", "AZURE_", "good.yaml:7"] {
        assert!(out.contains(part), "{part} is missing in {out}");
    }
}

#[test]
fn a_killed_run_leaves_nothing_after_a_sweep() {
    let folder = Folder::new();
    let mut child = folder.command(&["run"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    wait_until(|| !left(&folder.path("state/environments")).is_empty() || child.try_wait().unwrap().is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    let (code, out, err) = folder.run(&["sweep"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(left(&folder.path("state")), Vec::<PathBuf>::new());
    let (_, out, _) = folder.run(&["sweep"]);
    assert!(out.contains("nothing was left behind"), "{out}");
}

/// The secret's value is nobody's but the vault's and the pod's, and a token is a credential.
#[test]
fn a_canary_secret_and_raw_tokens_are_in_no_report_and_in_no_output() {
    let folder = Folder::new();
    let canary = "canary-8d1f2c\\n\"quoted\"";
    let scenario = "\
title: a pod reads a canary
requirements: [A-1]
mutants: [vault/refuses-everyone]
given:
  azure:
    identities: { app1: { federated: [ { subject: 'system:serviceaccount:{{namespace}}:reader' } ] } }
    vaults: { kv1: { secrets: { testsecret: 'CANARY' }, access: [ { to: app1, secrets: [get] } ] } }
  cluster:
    - service-account: { name: reader, annotations: { azure.workload.identity/client-id: '{{app1.client-id}}' } }
when:
  - create-pod: { name: p, image: quickstart/rust, service-account: reader, labels: { azure.workload.identity/use: 'true' }, env: { KEYVAULT_URL: '{{kv1.url}}', SECRET_NAME: testsecret } }
then:
  - secret-read: { by: p, vault: kv1, secret: testsecret, outcome: allowed }
  - log: { of: p, line: 'this line is never printed', within: 1s }
";
    folder.write("area/canary.yaml", scenario.replace("CANARY", canary));
    let (code, out, err) = folder.run(&["run", "canary", "--log", "trace"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("this line is never printed"), "{out}");
    let token = regex::Regex::new(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}").unwrap();
    let mut texts = vec![("standard output".to_owned(), out), ("standard error".to_owned(), err)];
    let files = left(&folder.path("reports"));
    assert!(files.len() > 10, "{files:?}");
    texts.extend(files.iter().map(|file| (file.display().to_string(), std::fs::read_to_string(file).unwrap())));
    for (place, text) in texts {
        assert!(!text.contains("canary-8d1f2c"), "{place} holds the canary");
        assert!(!token.is_match(&text), "{place} holds a token: {:?}", token.find(&text).map(|found| found.as_str()));
    }
}

/// Files below a folder.
fn left(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { left(&path) } else { vec![path] }).collect()
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !condition() {
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "waited a minute in vain");
        std::thread::yield_now();
    }
}
