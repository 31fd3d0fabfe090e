//! `up` and `down`: clusters to work with.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use wi_conformance::{Environment, Options};
use wi_conformance::{Exit, Stop};
use wi_conformance::{console, stand_ins};
use wi_model::mutant::Mutants;
use wi_serve::private_files::write_private;
use wi_target_azure as aks;
use wi_target_kind::{self as real_cluster, Held, Stays, Which};

use crate::args::{DownArgs, Global, STANDING, TargetName, UpArgs};
use crate::{signal, targets};

/// Starts a cluster and keeps it up.
pub(crate) async fn up(args: UpArgs, global: &Global) -> Result<Exit, Stop> {
    match &args.target {
        TargetName::Embedded => embedded(args, global).await,
        TargetName::Kind => kind(args, global).await,
        TargetName::Aks | TargetName::File(_) => {
            Err(Stop::new(Exit::Usage, "up: expected `embedded` or `kind`; only these can be started"))
        }
    }
}

async fn embedded(args: UpArgs, global: &Global) -> Result<Exit, Stop> {
    let Some(kubeconfig) = args.kubeconfig else {
        return Err(Stop::new(Exit::Usage, "up embedded: --kubeconfig FILE is required"));
    };
    let images = stand_ins::programs(&args.images)?;
    let webhook = targets::embedded_webhook(&args.webhook, args.profile, args.cert_rotation, &images)?;
    let cancel = CancellationToken::new();
    let signals = signal::watch(&cancel);
    let options =
        Options { webhook, images, state_dir: Some(global.state_dir()), for_everybody: true, ..Options::default() };
    let environment = Environment::start(options).await.map_err(|error| Stop::from_error(Exit::TargetUnfit, &error))?;
    if let Err(error) = write_private(&kubeconfig, &environment.kubeconfig()) {
        let _ = environment.stop().await;
        return Err(unwritable(&kubeconfig, &error));
    }
    let mut written = vec![kubeconfig.clone()];
    if let Some(path) = &args.write_target {
        match aks::write(&environment.target(), &environment.declare_managed(), path) {
            Ok(files) => written.extend(files),
            Err(why) => {
                let _ = environment.stop().await;
                return Err(Stop::new(Exit::Usage, why));
            }
        }
        console::say(format!("target    wi-conformance run --target {}", path.display()));
    }
    let azure = environment.azure();
    if let Some(path) = &args.env_file {
        match surroundings(&environment, path, &kubeconfig) {
            Ok(files) => written.extend(files),
            Err(error) => {
                let why = unwritable(path, &error);
                let _ = environment.stop().await;
                return Err(why);
            }
        }
        console::say(format!("programs  source {} (az, Terraform, SDKs)", path.display()));
    }
    let control_token = beside(&kubeconfig, "journal-token");
    if let Err(error) = write_private(&control_token, azure.control_token().expose()) {
        let why = unwritable(&control_token, &error);
        let _ = environment.stop().await;
        return Err(why);
    }
    written.push(control_token.clone());
    console::say(format!("cluster   kubectl --kubeconfig {} get pods -A", kubeconfig.display()));
    console::say(format!("issuer    {}", environment.issuer()));
    console::say(format!(
        "azure     https://{} for every Azure name; tenant {}, operator {}",
        azure.address(),
        azure.tenant_id(),
        azure.operator().client_id
    ));
    console::say(format!("journal   {}/journal", azure.control_url()));
    console::say(format!("token     {} (bearer token of the journal)", control_token.display()));
    console::say("up; Ctrl-C ends it");
    cancel.cancelled().await;
    signals.abort();
    for file in written {
        let _ = std::fs::remove_file(file);
    }
    environment.stop().await.map_err(|left| Stop::new(Exit::LeftBehind, left))?;
    Ok(Exit::Interrupted)
}

/// Writes what programs outside the cluster need to reach the Azure beside it: a proxy for its names, its authority, and the
/// operator's credentials under the names that az, azurerm and the SDKs read. The files that were written.
fn surroundings(environment: &Environment, path: &Path, kubeconfig: &Path) -> std::io::Result<Vec<PathBuf>> {
    let azure = environment.azure();
    // The cluster that the cloud's tools look at.
    environment.declare_managed();
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let proxied = proxy.local_addr()?;
    azure.accept_proxied(proxy);
    let authority = std::path::absolute(beside(path, "ca.pem"))?;
    write_private(&authority, azure.ca_pem())?;
    let operator = azure.operator();
    let (ca, proxied) = (authority.display().to_string(), format!("http://{proxied}"));
    let tenant = azure.tenant_id().to_string();
    let subscription = azure.subscription_id().to_string();
    let client = operator.client_id.to_string();
    let cluster = std::path::absolute(kubeconfig)?.display().to_string();
    let mut text = String::from("# How programs reach the Azure beside the embedded cluster. It ends with `up`.\n");
    for (name, value) in [
        ("HTTPS_PROXY", proxied.as_str()),
        ("SSL_CERT_FILE", &ca),
        ("REQUESTS_CA_BUNDLE", &ca),
        ("NODE_EXTRA_CA_CERTS", &ca),
        ("ARM_TENANT_ID", &tenant),
        ("ARM_SUBSCRIPTION_ID", &subscription),
        ("ARM_CLIENT_ID", &client),
        ("ARM_CLIENT_SECRET", operator.secret.expose()),
        ("AZURE_TENANT_ID", &tenant),
        ("AZURE_SUBSCRIPTION_ID", &subscription),
        ("AZURE_CLIENT_ID", &client),
        ("AZURE_CLIENT_SECRET", operator.secret.expose()),
        ("KUBECONFIG", &cluster),
        ("KUBE_CONFIG_PATH", &cluster),
    ] {
        text += &format!("export {name}='{}'\n", value.replace('\'', "'\\''"));
    }
    write_private(path, &text)?;
    Ok(vec![path.to_owned(), authority])
}

/// A file beside another one, named after it.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{ending}"));
    path.with_file_name(name)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Stop {
    Stop::new(Exit::Usage, format!("{}: cannot be written: {error}", path.display()))
}

async fn kind(args: UpArgs, global: &Global) -> Result<Exit, Stop> {
    if args.env_file.is_some() {
        return Err(Stop::new(Exit::Usage, "up kind: --env-file is for `up embedded`"));
    }
    if args.write_target.is_some() {
        let why = "up kind: --write-target is for `up embedded`; use `run --target kind --reuse` instead";
        return Err(Stop::new(Exit::Usage, why));
    }
    if !args.images.is_empty() {
        let why = "up kind: --image is for `up embedded`; use `run --target kind --reuse --image NAME=PROGRAM`, and --load for your own images";
        return Err(Stop::new(Exit::Usage, why));
    }
    let mut new = targets::new_cluster(&args.cluster, Stays::Everything)?;
    let name = new.name.get_or_insert_with(|| STANDING.to_owned()).clone();
    let webhook = targets::real_webhook(&args.webhook, args.profile, args.cluster.webhook_replicas)?;
    let state_dir = global.state_dir();
    let options = targets::real_options(Which::New(new), webhook, Mutants::default(), &args.cluster, &state_dir);
    let cancel = CancellationToken::new();
    let signals = signal::watch(&cancel);
    let run_id = wi_conformance::run::run_id(jiff::Timestamp::now());
    let up = real_cluster::up(options, &run_id, &|what| console::tell(what), &cancel).await;
    signals.abort();
    let (folder, azure) = up.map_err(|lines| {
        Stop::lines(if cancel.is_cancelled() { Exit::Interrupted } else { Exit::TargetUnfit }, lines)
    })?;
    let mut kubeconfig: PathBuf = folder.join("kubeconfig");
    if let Some(wanted) = args.kubeconfig {
        let text = std::fs::read_to_string(&kubeconfig).unwrap_or_default();
        write_private(&wanted, &text).map_err(|error| unwritable(&wanted, &error))?;
        kubeconfig = wanted;
    }
    let named = if name == STANDING { String::new() } else { format!(" --name {name}") };
    console::say(format!("cluster   kubectl --kubeconfig {} get pods -A", kubeconfig.display()));
    console::say(format!(
        "azure     https://{} for every Azure name, from pods and nodes; https://{} from here; tenant {}, operator {}",
        azure.pod_address,
        azure.tls,
        azure.tenant_id(),
        azure.operator_id()
    ));
    console::say(format!("journal   {}/journal", azure.control));
    console::say(format!("token     {} (bearer token of the journal: controlToken)", azure.file(&folder).display()));
    console::say(format!("run       wi-conformance run --target kind --reuse{named}"));
    console::say(format!("end       wi-conformance down kind{named}"));
    Ok(Exit::Conformant)
}

/// Removes a cluster that `up` made, or that a run kept.
pub(crate) async fn down(args: &DownArgs, global: &Global) -> Result<Exit, Stop> {
    if args.target != TargetName::Kind {
        return Err(Stop::new(Exit::Usage, "down: expected `kind`; `up embedded` ends with Ctrl-C"));
    }
    let (state_dir, mut tell) = (global.state_dir(), |held: &Held| console::say(format!("removed {held}")));
    match real_cluster::down(&state_dir, &args.name, &mut tell).await {
        Ok(()) => Ok(Exit::Conformant),
        Err(real_cluster::NotDown::Unknown(why)) => Err(Stop::new(Exit::Usage, why)),
        Err(real_cluster::NotDown::Left(left)) => {
            Err(Stop::lines(Exit::LeftBehind, left.into_iter().map(|left| format!("left behind: {left}")).collect()))
        }
    }
}
