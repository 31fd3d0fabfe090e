//! `init`: a scenario out of somebody's manifests, with what an editor and a CI server need beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wi_conformance::console;
use wi_conformance::{Exit, Stop};
use wi_model::{manifest, parse, template};
use wi_serve::input;

use crate::args::InitArgs;

const SCENARIO: &str = "reads-its-secret.yaml";
const SUITE: &str = "suite.yaml";
const SCHEMA: &str = "scenario.schema.json";
const DEFINITIONS: &str = "manifests/definitions.yaml";
const WORKFLOW: &str = ".github/workflows/wi-conformance.yaml";
const CLIENT_ID: &str = "azure.workload.identity/client-id";

/// A manifest file: how the scenario names it, and what is in it.
struct File {
    named: String,
    objects: Vec<Value>,
}

/// What was found in the manifests.
struct Found {
    /// How expectations call the pod.
    pod: String,
    namespace: Option<String>,
    account: String,
    /// Whether the account is among the manifests.
    has_account: bool,
    client_id: Option<String>,
    vault: Option<String>,
    secret: Option<String>,
    /// Images that are somebody's own, with the program that most likely does for each.
    images: BTreeMap<String, &'static str>,
    /// The container that reads the vault, where others stand beside it.
    reader: Option<String>,
    /// How long it takes until a schedule has surely come round, where one makes the pods.
    waits: Option<&'static str>,
    /// Kinds that are defined by nobody here: API version and kind.
    undefined: BTreeSet<(String, String)>,
}

/// Writes the folder.
pub(crate) fn init(args: &InitArgs) -> Result<Exit, Stop> {
    let usage = |why: String| Stop::new(Exit::Usage, why);
    let files = read(args)?;
    let found = Found::of(&files).ok_or_else(|| {
        usage("init: these files contain no pod and no workload; expected a Pod, a Deployment or similar".to_owned())
    })?;
    let schema = serde_json::to_string_pretty(&wi_model::schema::scenario()).unwrap_or_default();
    let mut written = vec![
        (SCENARIO, scenario(&files, &found)),
        (SUITE, suite(&found)),
        (SCHEMA, schema + "\n"),
        (WORKFLOW, workflow(&args.folder)),
    ];
    if !found.undefined.is_empty() {
        written.push((DEFINITIONS, definitions(&found.undefined)));
    }
    if let Some((name, _)) = written.iter().find(|(name, _)| args.folder.join(name).exists()) {
        let path = args.folder.join(name);
        return Err(usage(format!(
            "init: {} exists already and is not changed; choose another folder",
            path.display()
        )));
    }
    for (name, text) in &written {
        let path = args.folder.join(name);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        made.map_err(|error| usage(format!("{}: cannot be written: {error}", path.display())))?;
        console::say(format!("wrote {}", path.display()));
    }
    console::say(format!("next: wi-conformance run --scenarios {}", args.folder.display()));
    Ok(Exit::Conformant)
}

fn read(args: &InitArgs) -> Result<Vec<File>, Stop> {
    let mut files = Vec::new();
    for path in &args.from {
        let fault = |why: String| Stop::new(Exit::Usage, why);
        let shown = path.display().to_string();
        let text =
            input::read_text(path, parse::MAX_BYTES as u64).map_err(|error| fault(format!("{shown}: {error}")))?;
        let objects = manifest::objects(&shown, &text)
            .map_err(|faults| Stop::lines(Exit::Usage, faults.iter().map(ToString::to_string).collect()))?;
        files.push(File { named: beside(&args.folder, path), objects });
    }
    Ok(files)
}

/// A file as a scenario in the folder names it: relative to the folder where that can be said.
fn beside(folder: &Path, path: &Path) -> String {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (folder, path) = (whole(folder), whole(path));
    let mut up = PathBuf::new();
    for above in folder.ancestors() {
        if let Ok(below) = path.strip_prefix(above) {
            return up.join(below).display().to_string();
        }
        up.push("..");
    }
    path.display().to_string()
}

impl Found {
    fn of(files: &[File]) -> Option<Self> {
        let objects = || files.iter().flat_map(|file| &file.objects);
        let maker = objects().find(|object| parse::pods_name(object).is_some())?;
        let paths = ["/spec/jobTemplate/spec/template/spec", "/spec/template/spec", "/spec"];
        let spec = paths.iter().find_map(|path| maker.pointer(path).filter(|spec| spec["containers"].is_array()))?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let account = text(&spec["serviceAccountName"]).unwrap_or_else(|| "default".to_owned());
        let of_account =
            |object: &&Value| object["kind"] == "ServiceAccount" && object["metadata"]["name"] == account.as_str();
        let stated = objects().find(of_account);
        let containers = || {
            ["initContainers", "containers"].into_iter().flat_map(|list| spec[list].as_array().into_iter().flatten())
        };
        let mut env: BTreeMap<String, String> = BTreeMap::new();
        let mut reads = Vec::new();
        for container in containers() {
            let mut own: BTreeMap<String, String> = BTreeMap::new();
            for from in container["envFrom"].as_array().into_iter().flatten() {
                let name = &from["configMapRef"]["name"];
                let map = objects().find(|object| object["kind"] == "ConfigMap" && object["metadata"]["name"] == *name);
                let entries = map.and_then(|map| map["data"].as_object()).into_iter().flatten();
                own.extend(entries.filter_map(|(key, value)| Some((key.clone(), text(value)?))));
            }
            let entries = container["env"].as_array().into_iter().flatten();
            own.extend(entries.filter_map(|entry| Some((text(&entry["name"])?, text(&entry["value"])?))));
            reads.push(own.contains_key("KEYVAULT_URL"));
            env.extend(own);
        }
        // Where one container reads a vault, the others do something else; an init container must come to an end.
        let reader = reads.contains(&true);
        let before = spec["initContainers"].as_array().map_or(0, Vec::len);
        let program = |index: usize| match (reader && !reads[index], index < before) {
            (false, false) | (false, true) => "quickstart/rust",
            (true, true) => "/bin/true",
            (true, false) => "quickstart/pause",
        };
        let images: Vec<(String, &'static str)> = containers()
            .enumerate()
            .filter_map(|(index, container)| Some((text(&container["image"])?, program(index))))
            .filter(|(image, _)| wi_images::resolve(image).is_none())
            .collect();
        let mut programs: BTreeMap<String, &'static str> = BTreeMap::new();
        for (image, program) in images {
            // One that reads somewhere reads everywhere.
            if programs.get(&image) != Some(&"quickstart/rust") {
                programs.insert(image, program);
            }
        }
        Some(Found {
            pod: parse::pods_name(maker)?,
            namespace: text(&maker["metadata"]["namespace"]),
            has_account: stated.is_some(),
            client_id: stated.and_then(|stated| text(&stated["metadata"]["annotations"][CLIENT_ID])),
            account,
            vault: env.remove("KEYVAULT_URL"),
            secret: env.remove("SECRET_NAME"),
            images: programs,
            reader: (reads.len() > 1)
                .then(|| {
                    containers().zip(&reads).find(|(_, reads)| **reads).and_then(|(found, _)| text(&found["name"]))
                })
                .flatten(),
            waits: maker["spec"]["schedule"].as_str().map(until_surely),
            undefined: undefined(files),
        })
    }
}

/// How long it takes until a schedule has come round: a day where it names no day, else a month.
fn until_surely(schedule: &str) -> &'static str {
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    let daily = matches!(schedule, "@hourly" | "@daily" | "@midnight") || fields.get(2..) == Some(&["*", "*", "*"]);
    if daily { "24h" } else { "745h" }
}

/// Kinds of manifests that the embedded cluster does not serve and no CustomResourceDefinition among them defines.
fn undefined(files: &[File]) -> BTreeSet<(String, String)> {
    let objects = || files.iter().flat_map(|file| &file.objects);
    let defined: Vec<(String, String)> = objects().flat_map(manifest::kinds_of).collect();
    let named = objects()
        .filter_map(|object| Some((object["apiVersion"].as_str()?.to_owned(), object["kind"].as_str()?.to_owned())));
    named
        .filter(|kind| kind.0.contains('/') && !wi_target_embedded::serves(&kind.0, &kind.1) && !defined.contains(kind))
        .collect()
}

/// Definitions that let any object of these kinds be created; nothing acts on them.
fn definitions(kinds: &BTreeSet<(String, String)>) -> String {
    let mut text =
        "# So that the objects can be created here. Nothing acts on them: their operators do not run.\n".to_owned();
    for (api_version, kind) in kinds {
        let (group, version) = api_version.split_once('/').unwrap_or((api_version, "v1"));
        let singular = kind.to_lowercase();
        let plural = match singular.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None if singular.ends_with('s') => format!("{singular}es"),
            None => format!("{singular}s"),
        };
        let _ = write!(
            text,
            "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{ name: {plural}.{group} }}\nspec:\n  group: {group}\n  scope: Namespaced\n  \
             names: {{ kind: {kind}, singular: {singular}, plural: {plural}, listKind: {kind}List }}\n  versions:\n    - name: {version}\n      served: true\n      storage: true\n      \
             schema: {{ openAPIV3Schema: {{ type: object, x-kubernetes-preserve-unknown-fields: true }} }}\n"
        );
    }
    text
}

fn quoted(text: &str) -> String {
    // JSON is YAML.
    Value::from(text).to_string()
}

/// What a variable of the manifests most likely stands for.
fn value_of(variable: &str) -> &'static str {
    let upper = variable.to_uppercase();
    if upper.contains("CLIENT") {
        "{{app.client-id}}"
    } else if upper.contains("TENANT") {
        "{{azure.tenant-id}}"
    } else if upper.contains("VAULT") {
        "{{kv.url}}"
    } else {
        "{{random}}"
    }
}

fn scenario(files: &[File], found: &Found) -> String {
    let makes_pods = |file: &&File| file.objects.iter().any(|object| parse::pods_name(object).is_some());
    let (steps, state): (Vec<&File>, Vec<&File>) = files.iter().partition(makes_pods);
    let manifests = |files: &[&File]| {
        let names: Vec<String> = files.iter().map(|file| quoted(&file.named)).collect();
        let all = || files.iter().flat_map(|file| &file.objects);
        let variables: BTreeSet<String> = all().flat_map(|object| template::variables(&object.to_string())).collect();
        let values: Vec<String> = variables.iter().map(|name| format!("{name}: {}", quoted(value_of(name)))).collect();
        let values = if values.is_empty() { String::new() } else { format!(", values: {{ {} }}", values.join(", ")) };
        format!("{{ files: [ {} ]{values} }}", names.join(", "))
    };
    let literal = |text: &Option<String>| text.clone().filter(|text| !text.contains("${"));
    let home = found.namespace.clone().unwrap_or_else(|| "{{namespace}}".to_owned());
    let subject = quoted(&format!("system:serviceaccount:{home}:{}", found.account));
    let id = literal(&found.client_id).map(|id| format!("client-id: {}, ", quoted(&id))).unwrap_or_default();
    let reads = found.vault.is_some() && found.secret.is_some();
    let mut text = format!(
        "# yaml-language-server: $schema={SCHEMA}\ntitle: {} is given a token{}\ngiven:\n",
        found.pod,
        if reads { " and reads its secret" } else { "" }
    );
    if let Some(namespace) = &found.namespace {
        let _ = writeln!(text, "  namespace: {}", quoted(namespace));
    }
    let _ = writeln!(text, "  azure:\n    identities:\n      app: {{ {id}federated: [ {{ subject: {subject} }} ] }}");
    if let (true, Some(secret)) = (reads, &found.secret) {
        let host = literal(&found.vault)
            .and_then(|url| Some(url.strip_prefix("https://")?.split(['.', '/']).next()?.to_owned()));
        let name = host.map(|name| format!("name: {}, ", quoted(&name))).unwrap_or_default();
        let _ = writeln!(
            text,
            "    vaults:\n      kv: {{ {name}secrets: {{ {}: \"{{{{random}}}}\" }}, access: [ {{ to: app, secrets: [get] }} ] }}",
            quoted(secret)
        );
    }
    let mut cluster = Vec::new();
    if !found.undefined.is_empty() {
        cluster.push(format!("    - manifests: {{ files: [ {} ] }}\n", quoted(DEFINITIONS)));
    }
    if !state.is_empty() {
        cluster.push(format!("    - manifests: {}\n", manifests(&state)));
    }
    if !found.has_account && found.account != "default" {
        let namespace = found.namespace.iter().map(|name| format!(", namespace: {}", quoted(name))).collect::<String>();
        cluster.push(format!(
            "    # The files contain no ServiceAccount, so the scenario creates one.\n    - service-account: {{ name: {}{namespace}, annotations: {{ {CLIENT_ID}: \"{{{{app.client-id}}}}\" }} }}\n",
            quoted(&found.account)
        ));
    }
    if !cluster.is_empty() {
        let _ = write!(text, "  cluster:\n{}", cluster.concat());
    }
    let pod = quoted(&found.pod);
    let container = found.reader.iter().map(|name| format!("container: {}, ", quoted(name))).collect::<String>();
    let _ = write!(
        text,
        "when:\n  - apply: {}\n{}then:\n  - admission: {{ of: {pod}, outcome: mutated }}\n  - exchange: {{ by: {pod}, {container}as: app, outcome: granted }}\n",
        manifests(&steps),
        found
            .waits
            .map(|time| format!("  # Until its schedule has come round.\n  - advance-time: {time}\n"))
            .unwrap_or_default()
    );
    if let (true, Some(secret)) = (reads, &found.secret) {
        let _ = writeln!(
            text,
            "  - secret-read: {{ by: {pod}, {container}vault: kv, secret: {}, outcome: allowed }}",
            quoted(secret)
        );
    }
    text
}

fn suite(found: &Found) -> String {
    let mut text = "# The program that each image stands for: quickstart/rust reads the secret that KEYVAULT_URL and SECRET_NAME name,\n\
                    # quickstart/pause waits; a path, relative to this file, is a program of yours.\npods:\n"
        .to_owned();
    if found.images.is_empty() {
        text.push_str("  images: {}\n");
        return text;
    }
    text.push_str("  images:\n");
    let names: BTreeMap<&str, &str> =
        found.images.iter().map(|(image, program)| (wi_images::repository(image), *program)).collect();
    for (name, program) in names {
        let _ = writeln!(text, "    {}: {program}", quoted(name));
    }
    text
}

fn workflow(folder: &Path) -> String {
    format!(
        "# OWNER and REF are those of the repository that holds wi-conformance.\n\
         name: wi-conformance\non: [push, pull_request]\npermissions: {{ contents: read }}\njobs:\n  conformance:\n    runs-on: ubuntu-latest\n    \
         timeout-minutes: 30\n    steps:\n      - uses: actions/checkout@v4\n      - uses: OWNER/wi-conformance@REF\n        with:\n          scenarios: {}\n",
        quoted(&folder.display().to_string())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(named: &str, text: &str) -> File {
        File { named: named.to_owned(), objects: manifest::objects(named, text).unwrap() }
    }

    #[test]
    fn what_is_written_can_be_read_whatever_the_manifests_are_like() {
        let spec = "{ serviceAccountName: web, containers: [ { name: a, image: 'r.example:5000/a/b:1', envFrom: [ { configMapRef: { name: c } } ] } ] }";
        let deployment = |metadata: &str| {
            format!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {metadata}\nspec: {{ template: {{ spec: {spec} }} }}\n"
            )
        };
        let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: { name: web, annotations: { azure.workload.identity/client-id: '${WEB_CLIENT_ID}' } }\n";
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: c }\ndata: { KEYVAULT_URL: 'https://shop.vault.azure.net/', SECRET_NAME: s }\n";
        for files in [
            vec![file("d.yaml", &deployment("{ name: web }"))],
            vec![
                file("k/d.yaml", &deployment("{ name: web, namespace: shop }")),
                file("k/a.yaml", account),
                file("k/m.yaml", map),
            ],
        ] {
            let found = Found::of(&files).unwrap();
            let text = scenario(&files, &found);
            let read = parse::scenario("s.yaml", text.as_bytes());
            assert!(read.is_ok(), "{read:?}\n{text}");
            assert_eq!(found.images.keys().next().map(String::as_str), Some("r.example:5000/a/b:1"));
            assert!(suite(&found).contains("\"r.example:5000/a/b\": quickstart/rust"));
            assert_eq!(text.contains("secret-read"), files.len() == 3, "{text}");
            assert_eq!(text.contains("- service-account:"), files.len() == 1, "{text}");
        }
    }

    #[test]
    fn containers_beside_the_reader_wait_a_schedule_comes_round_and_unknown_kinds_are_defined() {
        let pod = "{ serviceAccountName: web, initContainers: [ { name: i, image: a/migrate } ], containers: [ { name: a, image: a/web, env: [ { name: KEYVAULT_URL, value: 'https://x.vault.azure.net' }, { name: SECRET_NAME, value: s } ] }, { name: m, image: a/metrics } ] }";
        let text = format!(
            "apiVersion: external-secrets.io/v1\nkind: SecretStore\nmetadata: {{ name: s }}\n---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {{ name: web }}\nspec: {{ schedule: '0 3 * * *', jobTemplate: {{ spec: {{ template: {{ spec: {pod} }} }} }} }}\n"
        );
        let files = [file("c.yaml", &text)];
        let found = Found::of(&files).unwrap();
        let told = suite(&found);
        for line in ["\"a/migrate\": /bin/true", "\"a/web\": quickstart/rust", "\"a/metrics\": quickstart/pause"] {
            assert!(told.contains(line), "{told}");
        }
        let written = scenario(&files, &found);
        for part in [
            "- advance-time: 24h",
            "manifests/definitions.yaml",
            "container: \"a\", as: app",
            "container: \"a\", vault: kv",
        ] {
            assert!(written.contains(part), "{part}: {written}");
        }
        assert!(parse::scenario("s.yaml", written.as_bytes()).is_ok(), "{written}");
        let definitions = definitions(&found.undefined);
        let defined = manifest::objects("d.yaml", &definitions).unwrap();
        let kinds: Vec<_> = defined.iter().flat_map(manifest::kinds_of).collect();
        assert_eq!(kinds, [("external-secrets.io/v1".to_owned(), "SecretStore".to_owned())]);
        assert_eq!((until_surely("0 3 * * 1"), until_surely("@daily")), ("745h", "24h"));
    }

    #[test]
    fn a_file_is_named_from_the_folder_of_the_scenario() {
        assert_eq!(beside(Path::new("."), Path::new("k8s/a.yaml")), "k8s/a.yaml");
        assert_eq!(beside(Path::new("test/wi"), Path::new("k8s/a.yaml")), "../../k8s/a.yaml");
    }
}
