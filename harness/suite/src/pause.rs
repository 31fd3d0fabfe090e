//! `--pause-on-failure`: a failed case stays as it is until somebody has looked at it.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::AsyncBufReadExt as _;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use wi_engine::Hold;
use wi_model::record::Record;
use wi_model::secret::Secret;
use wi_model::target::Target;

use crate::console;
use crate::rerun::quoted;

/// Waits with failed cases, one at a time.
pub(crate) struct Pause {
    state_dir: PathBuf,
    cancel: CancellationToken,
    /// Who has the terminal.
    turn: Arc<Mutex<()>>,
}

impl Pause {
    pub(crate) fn new(state_dir: PathBuf, cancel: CancellationToken) -> Self {
        Pause { state_dir, cancel, turn: Arc::default() }
    }

    /// What waits with the failed cases of a target.
    pub(crate) fn hold(&self, target: &Target) -> Hold {
        let (state_dir, cancel, turn) = (self.state_dir.clone(), self.cancel.clone(), self.turn.clone());
        let target = Arc::new(target.clone());
        Hold::new(move |record: &Record, namespace: &str| {
            let (state_dir, cancel, turn, target) = (state_dir.clone(), cancel.clone(), turn.clone(), target.clone());
            let (id, namespace, red) = (record.id.clone(), namespace.to_owned(), record.outcome.is_red());
            Box::pin(async move {
                if !red || cancel.is_cancelled() {
                    return;
                }
                let _turn = turn.lock().await;
                let files = Files::write(&state_dir, &target);
                match &files {
                    Ok(files) => shown(&id, &namespace, files, &target).iter().for_each(console::tell),
                    Err(error) => {
                        console::tell(format!("{id} failed and waits, but the kubeconfig cannot be written: {error}"))
                    }
                }
                entered(&cancel).await;
            })
        })
    }
}

/// What is written for whoever looks, and removed when it goes.
struct Files {
    folder: PathBuf,
}

impl Files {
    /// Writes them where nobody else may read: a kubeconfig is a credential.
    fn write(state_dir: &Path, target: &Target) -> std::io::Result<Self> {
        let folder = state_dir.join(format!("pause-{}", std::process::id()));
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(&folder)?;
        let files = Files { folder };
        files.file("kubeconfig", target.cluster.kubeconfig.expose())?;
        if let Some(roots) = &target.azure.trust_roots {
            files.file("azure-ca.pem", roots)?;
        }
        if let Some(token) = &target.azure.journal_token {
            files.file("control-token", Secret::expose(token))?;
        }
        Ok(files)
    }

    fn file(&self, name: &str, text: &str) -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(self.folder.join(name));
        file?.write_all(text.as_bytes())
    }

    fn path(&self, name: &str) -> String {
        quoted(&self.folder.join(name).display().to_string())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// How what the case made is reached.
fn shown(id: &str, namespace: &str, files: &Files, target: &Target) -> Vec<String> {
    let mut lines = vec![format!("{id} failed, and stays as it is:")];
    let context =
        target.cluster.context.as_ref().map(|name| format!(" --context {}", quoted(name))).unwrap_or_default();
    let within =
        if namespace.is_empty() { " --all-namespaces".to_owned() } else { format!(" --namespace {namespace}") };
    lines.push(format!("  kubectl --kubeconfig {}{context}{within} get pods,events", files.path("kubeconfig")));
    let azure = &target.azure;
    if let (Some(address), Some(_)) = (azure.connect, &azure.trust_roots) {
        let host = azure.authority.trim_start_matches("https://").trim_end_matches('/');
        lines.push(format!(
            "  curl --cacert {} --connect-to ::{address} https://{host}/{}/v2.0/.well-known/openid-configuration",
            files.path("azure-ca.pem"),
            azure.tenant_id
        ));
    }
    if let (Some(journal), Some(_)) = (&azure.journal, &azure.journal_token) {
        let token = files.path("control-token");
        lines.push(format!(
            "  curl -H \"Authorization: Bearer $(cat {token})\" {}/journal",
            journal.trim_end_matches('/')
        ));
    }
    lines.push("Press Enter to remove what it made and go on, or Ctrl-C to end the run in good order.".to_owned());
    lines
}

/// Waits for a line, or until the run is ended. Where there is no input, a signal alone ends it.
async fn entered(cancel: &CancellationToken) {
    let mut line = String::new();
    let mut input = tokio::io::BufReader::new(tokio::io::stdin());
    let read = cancel.run_until_cancelled(input.read_line(&mut line)).await;
    if matches!(read, Some(Ok(0) | Err(_))) {
        cancel.cancelled().await;
    }
}
