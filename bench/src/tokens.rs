//! The token endpoint of the emulator beside what one core can sign.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// How long tokens are asked for.
const ASKING: Duration = Duration::from_secs(5);
/// How many ask at once.
const CALLERS: usize = 16;
/// How long the emulator may take to be there.
const START: Duration = Duration::from_secs(20);

/// Prints tokens a second, signatures a second of `openssl speed`, and the one by the other.
pub(crate) async fn run(program: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut emulator = Command::new(program)
        .args(["fixture", "azure", "--ca-out", "ca.pem", "--state-out", "state.json"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let asked = ask(folder.path()).await;
    let _ = emulator.kill();
    emulator.wait()?;
    let rate = asked?;
    println!("token endpoint: {rate:.0} tokens a second, {CALLERS} callers");
    match signatures() {
        Ok(signed) => println!(
            "openssl speed rsa2048: {signed:.0} signatures a second on one core; the endpoint does {:.2} times that",
            rate / signed
        ),
        Err(why) => println!("openssl speed rsa2048: not measured: {why:#}"),
    }
    Ok(())
}

async fn ask(folder: &Path) -> Result<f64> {
    let state = state(folder).await?;
    let text = |pointer: &str| {
        let found = state.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        found.with_context(|| format!("the emulator's state has no {pointer}"))
    };
    let address = text("/address")?.parse()?;
    let roots = reqwest::Certificate::from_pem(&std::fs::read(folder.join("ca.pem"))?)?;
    let client = reqwest::Client::builder()
        .tls_certs_merge([roots])
        .resolve("login.microsoftonline.com", address)
        .no_proxy()
        .build()?;
    let url = Arc::new(format!(
        "https://login.microsoftonline.com:{}/{}/oauth2/v2.0/token",
        address.port(),
        text("/tenantId")?
    ));
    let form = Arc::new([
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", text("/operator/clientId")?),
        ("client_secret", text("/operator/clientSecret")?),
        ("scope", "https://vault.azure.net/.default".to_owned()),
    ]);
    let granted = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let callers = (0..CALLERS).map(|_| {
        let (client, url, form, granted) = (client.clone(), url.clone(), form.clone(), granted.clone());
        tokio::spawn(async move {
            while began.elapsed() < ASKING {
                let answer = client.post(url.as_str()).form(form.as_slice()).send().await?;
                answer.error_for_status()?.bytes().await?;
                granted.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, reqwest::Error>(())
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await??;
    }
    Ok(granted.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

/// The emulator writes its state when it is ready.
async fn state(folder: &Path) -> Result<Value> {
    let began = Instant::now();
    let mut look = tokio::time::interval(Duration::from_millis(50));
    while began.elapsed() < START {
        look.tick().await;
        let text = std::fs::read(folder.join("state.json")).unwrap_or_default();
        if let Ok(state) = serde_json::from_slice(&text) {
            return Ok(state);
        }
    }
    bail!("the emulator was not ready within {} s", START.as_secs())
}

/// Signatures a second of one core.
fn signatures() -> Result<f64> {
    let output =
        Command::new("openssl").args(["speed", "-mr", "-seconds", "3", "rsa2048"]).output().context("no openssl")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // `+F2:INDEX:2048:SIGNED:VERIFIED`, each a second; before version 3 it was seconds for each.
    let line = text.lines().find(|line| line.starts_with("+F2:")).context("openssl speed printed no figure")?;
    let figure: f64 = line.split(':').nth(3).context("no figure of signing")?.parse()?;
    Ok(if figure < 1.0 { 1.0 / figure } else { figure })
}
