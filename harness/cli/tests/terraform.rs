//! `examples/terraform` with the real Terraform or OpenTofu, where they and their providers are.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]
#![expect(clippy::disallowed_methods, reason = "where the providers are is told by the environment")]

mod standing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use standing::{Up, up};

/// The providers of the example, as a plugin cache has them.
const PROVIDERS: [&str; 3] = ["azurerm", "helm", "kubernetes"];

fn main() -> std::process::ExitCode {
    let trials = vec![
        Trial::ignorable_test("the_example_applies_plans_without_changes_and_destroys", session),
        Trial::ignorable_test("the_example_is_formatted_as_terraform_formats_it", formatted),
        Trial::test("programs_outside_are_led_to_the_emulated_azure_by_a_file_to_source", led),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The program, if there is one.
fn terraform() -> Option<&'static str> {
    let works = |name: &&str| Command::new(name).arg("version").output().is_ok_and(|output| output.status.success());
    ["terraform", "tofu"].into_iter().find(works)
}

/// A folder of providers that has all that the example needs; otherwise what is missing.
fn plugins(program: &str) -> Result<PathBuf, String> {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || given("HOME").unwrap_or_default().join(".terraform.d/plugin-cache");
    let folder = given("TF_PLUGIN_CACHE_DIR").unwrap_or_else(home);
    let registry = if program == "tofu" { "registry.opentofu.org" } else { "registry.terraform.io" };
    let missing: Vec<&str> =
        PROVIDERS.into_iter().filter(|name| !folder.join(registry).join("hashicorp").join(name).is_dir()).collect();
    if missing.is_empty() {
        Ok(folder)
    } else {
        Err(format!("{} has no provider {}", folder.display(), missing.join(", ")))
    }
}

/// What the file to source says.
fn surroundings(folder: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder.join("azure.env")).unwrap();
    let exports = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    exports.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned())).collect()
}

fn led() -> Result<(), Failed> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir()?;
    let up = with_env_file(folder.path())?;
    let says = surroundings(folder.path());
    let mode = std::fs::metadata(folder.path().join("azure.env"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the file has a client secret");
    let authority = reqwest::Certificate::from_pem(&std::fs::read(&says["SSL_CERT_FILE"])?)?;
    let client = reqwest::Client::builder()
        .proxy(reqwest::Proxy::https(&says["HTTPS_PROXY"])?)
        .tls_certs_only([authority])
        .build()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let url = format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", says["AZURE_TENANT_ID"]);
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", says["AZURE_CLIENT_ID"].as_str()),
            ("client_secret", says["AZURE_CLIENT_SECRET"].as_str()),
            ("scope", "https://management.azure.com/.default"),
        ];
        let token: serde_json::Value = client.post(url).form(&form).send().await?.json().await?;
        let url = format!(
            "https://management.azure.com/subscriptions/{}/resourceGroups/clusters/providers/Microsoft.ContainerService\
             /managedClusters/embedded?api-version=2025-10-01",
            says["ARM_SUBSCRIPTION_ID"]
        );
        let token = token["access_token"].as_str().unwrap_or_default();
        let cluster: serde_json::Value = client.get(url).bearer_auth(token).send().await?.json().await?;
        assert!(cluster["properties"]["oidcIssuerProfile"]["issuerURL"].is_string(), "{cluster:#}");
        for elsewhere in ["https://example.com/", "https://no-such-vault.vault.azure.net/"] {
            assert!(client.get(elsewhere).send().await.is_err(), "{elsewhere} is not led to");
        }
        Ok::<(), Failed>(())
    })?;
    drop(up);
    assert!(!folder.path().join("azure.env").exists(), "it ends with `up`");
    Ok(())
}

fn formatted() -> Result<Completion, Failed> {
    let Some(program) = terraform() else {
        return Ok(Completion::ignored_with("there is neither terraform nor tofu on PATH"));
    };
    let output =
        Command::new(program).args(["fmt", "-check", "-recursive"]).arg(root().join("examples/terraform")).output()?;
    if output.status.success() {
        Ok(Completion::Completed)
    } else {
        Err(String::from_utf8_lossy(&output.stdout).into_owned().into())
    }
}

fn session() -> Result<Completion, Failed> {
    let Some(program) = terraform() else {
        return Ok(Completion::ignored_with("there is neither terraform nor tofu on PATH"));
    };
    let plugins = match plugins(program) {
        Ok(plugins) => plugins,
        Err(why) => return Ok(Completion::ignored_with(why)),
    };
    let folder = tempfile::tempdir()?;
    let _up = with_env_file(folder.path())?;
    let says = surroundings(folder.path());
    let copied = folder.path().join("example");
    copy(&root().join("examples/terraform"), &copied)?;
    let run = |below: &str, arguments: &[&str]| -> Result<Output, Failed> {
        let mut command = Command::new(program);
        command.arg(format!("-chdir={}", copied.join(below).display())).args(arguments);
        for (name, value) in &says {
            command.env(name, value);
        }
        for (name, value) in [
            ("resource_group", "clusters"),
            ("cluster", "embedded"),
            ("key_vault", "terraform-vault"),
            ("value", "Hello"),
        ] {
            command.env(format!("TF_VAR_{name}"), value);
        }
        command.env("TF_VAR_image", "quickstart/rust").env("TF_VAR_webhook_chart", "").env("CHECKPOINT_DISABLE", "1");
        let output = command.output()?;
        if output.status.success() {
            return Ok(output);
        }
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Err(format!("{program} {arguments:?} in {below}: {said}").into())
    };
    let from = format!("-plugin-dir={}", plugins.display());
    for below in ["vault", "."] {
        run(below, &["init", "-input=false", &from])?;
        run(below, &["apply", "-input=false", "-auto-approve"])?;
        // 2 would say that there are changes.
        run(below, &["plan", "-input=false", "-detailed-exitcode"])?;
    }
    let logs = Command::new("kubectl").args(["logs", "quick-start"]).env("KUBECONFIG", &says["KUBECONFIG"]).output();
    if let Ok(logs) = logs {
        let logs = String::from_utf8_lossy(&logs.stdout).into_owned();
        assert!(logs.contains("\"outcome\":\"read\""), "the pod read its secret: {logs}");
    }
    for below in [".", "vault"] {
        run(below, &["destroy", "-input=false", "-auto-approve"])?;
    }
    Ok(Completion::Completed)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// An environment that writes how its Azure is reached to `azure.env`.
fn with_env_file(folder: &Path) -> Result<Up, Failed> {
    let file = folder.join("azure.env");
    up(folder, &["--env-file", file.to_str().ok_or("the folder's name is no text")?])
}
