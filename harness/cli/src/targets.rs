//! A target's name into a place: the one room that knows what each flag means where.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use wi_conformance::stand_ins::{self, StandIn, is_program};
use wi_conformance::target_spec::Place;
use wi_conformance::{Exit, Stop};
use wi_conformance::{Profile, Program};
use wi_engine::target_file::{self, Named};
use wi_engine::webhook_release::Release;
use wi_images::go_program;
use wi_model::mutant::Mutants;
use wi_target_azure as aks;
use wi_target_embedded as environment;
use wi_target_kind::{self as real_cluster, NewCluster, Stays, Which};

use crate::args::{ClusterArgs, ProfileName, STANDING, Switch, TargetArgs, TargetName, WebhookName};

/// The target file that `--target aks` names.
const AKS_TARGET: &str = "wi-conformance.d/aks.yaml";
/// kind's configuration, where the user has it.
const KIND_CONFIG: &str = "kind-config/cluster.yaml";
/// The same, where there is no such file.
const KIND_CONFIG_BUILT_IN: &str = include_str!("../../../kind-config/cluster.yaml");

/// The place that the flags of a run name.
///
/// # Errors
/// Flags that do not go together, or a file that cannot be read.
pub(crate) fn place(
    args: &TargetArgs,
    images: &[(String, String)],
    mutants: Mutants,
    state_dir: &Path,
) -> Result<Place, Stop> {
    let stand_ins = stand_ins::all(&args.images, images);
    let usage = |why: String| Stop::new(Exit::Usage, why);
    let which = match &args.target {
        TargetName::Embedded => {
            let images = stand_ins::programs(&stand_ins)?;
            let webhook = embedded_webhook(&args.webhook, args.profile, args.cert_rotation, &images)?;
            let state_dir = Some(state_dir.to_owned());
            let options =
                environment::Options { webhook, images, mutants, state_dir, ..environment::Options::default() };
            return Ok(Place::Embedded(Box::new(options)));
        }
        TargetName::Kind if args.cluster.reuse => {
            Which::Standing { name: args.cluster.name.clone().unwrap_or_else(|| STANDING.to_owned()) }
        }
        TargetName::Kind => {
            let stays = if args.cluster.keep { Stays::Cluster } else { Stays::Nothing };
            Which::New(new_cluster(&args.cluster, stays)?)
        }
        TargetName::Aks => return Ok(Place::Aks(Box::new(aks(args, &stand_ins, Path::new(AKS_TARGET), &mutants)?))),
        TargetName::File(path) => match target_file::read(path, args.cluster.context.as_deref()).map_err(usage)? {
            Named::Cluster(cluster) => Which::Named { cluster, confirmed: args.cluster.yes },
            Named::Everything(_) => return Ok(Place::Aks(Box::new(aks(args, &stand_ins, path, &mutants)?))),
        },
    };
    let webhook = real_webhook(&args.webhook, args.profile, args.cluster.webhook_replicas)?;
    let ours = matches!(webhook, real_cluster::Webhook::Reference { .. });
    let foreign = if ours { BTreeSet::new() } else { mutants.webhook.clone() };
    if let Some(defect) = mutants.cluster.iter().chain(&mutants.node).chain(&foreign).next() {
        return Err(usage(format!("--mutant {defect}: the component of this mutant is not part of this target")));
    }
    let mut options = real_options(which, webhook, mutants, &args.cluster, state_dir);
    options.stand_ins = stand_ins::images(&stand_ins)?;
    Ok(Place::Real(Box::new(options)))
}

/// A target to look through for what runs left there.
///
/// # Errors
/// It is none that outlives its runs, or its file cannot be read.
pub(crate) fn to_sweep(target: &TargetName, context: Option<&str>) -> Result<aks::Options, Stop> {
    let path = match target {
        TargetName::Aks => Path::new(AKS_TARGET),
        TargetName::File(path) => path,
        TargetName::Embedded | TargetName::Kind => {
            let why = "sweep --target: expected `aks` or a target file; `sweep` without --target removes what runs left on this machine";
            return Err(Stop::new(Exit::Usage, why));
        }
    };
    match target_file::read(path, context).map_err(|why| Stop::new(Exit::Usage, why))? {
        Named::Everything(file) => Ok(aks::Options {
            file: *file,
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            context: context.map(str::to_owned),
            confirmed: true,
            variables: crate::args::variables(),
        }),
        Named::Cluster(_) => Err(Stop::new(Exit::Usage, format!("{}: the target file has no `azure`", path.display()))),
    }
}

/// The target of a file that names a cluster and an Azure.
///
/// # Errors
/// The file cannot be read, or a flag does not go with it.
pub(crate) fn aks(
    args: &TargetArgs,
    stand_ins: &[StandIn],
    path: &Path,
    mutants: &Mutants,
) -> Result<aks::Options, Stop> {
    let usage = |why: String| Stop::new(Exit::Usage, why);
    let all = mutants.cluster.iter().chain(&mutants.node).chain(&mutants.webhook).chain(&mutants.azure);
    if let Some(defect) = all.into_iter().next() {
        return Err(usage(format!("--mutant {defect}: no component of this target has mutants")));
    }
    if !matches!(args.webhook, WebhookName::Reference | WebhookName::Preinstalled) {
        return Err(usage("--webhook: this target uses the webhook already installed in the cluster".to_owned()));
    }
    let named = target_file::read(path, args.cluster.context.as_deref()).map_err(|why| {
        if path == Path::new(AKS_TARGET) && !path.is_file() {
            usage(format!("--target aks: {why}; docs/aks.md shows what to write there"))
        } else {
            usage(why)
        }
    })?;
    let Named::Everything(mut file) = named else {
        return Err(usage(format!("{}: the target file has no `azure`", path.display())));
    };
    for (name, ours) in stand_ins::images(stand_ins)? {
        let image = match &file.pods.registry {
            Some(registry) if wi_images::registry(&ours).is_none() => wi_images::in_registry(registry, &ours),
            _ => ours,
        };
        // What the file says of a name is about the very cluster.
        file.pods.images.entry(name).or_insert(image);
    }
    if let Some(profile) = profile(args.profile) {
        file.webhook.profile = Some(profile.word().to_owned());
    }
    Ok(aks::Options {
        file: *file,
        folder: path.parent().unwrap_or(Path::new("")).to_owned(),
        context: args.cluster.context.clone(),
        confirmed: args.cluster.yes,
        variables: crate::args::variables(),
    })
}

/// What a real cluster is opened with.
pub(crate) fn real_options(
    which: Which,
    webhook: real_cluster::Webhook,
    mutants: Mutants,
    args: &ClusterArgs,
    state_dir: &Path,
) -> real_cluster::Options {
    real_cluster::Options {
        which,
        webhook,
        mutants,
        image_program: args.image_program.clone(),
        archives: args.load.clone(),
        stand_ins: Vec::new(),
        state_dir: state_dir.to_owned(),
    }
}

/// A kind cluster to make.
pub(crate) fn new_cluster(args: &ClusterArgs, stays: Stays) -> Result<NewCluster, Stop> {
    let read = |path: &Path| {
        let fault = |error: std::io::Error| Stop::new(Exit::Usage, format!("{}: {error}", path.display()));
        wi_serve::input::read_text(path, wi_serve::input::DOCUMENT).map_err(fault)
    };
    let config = match &args.kind_config {
        Some(path) => read(path)?,
        None if Path::new(KIND_CONFIG).is_file() => read(Path::new(KIND_CONFIG))?,
        None => KIND_CONFIG_BUILT_IN.to_owned(),
    };
    Ok(NewCluster { name: args.name.clone(), config, node_image: args.node_image.clone(), stays })
}

fn profile(name: Option<ProfileName>) -> Option<Profile> {
    name.map(|profile| match profile {
        ProfileName::V1_5 => Profile::V1_5,
        ProfileName::V1_6 => Profile::V1_6,
    })
}

/// The webhook under test, as the embedded environment starts it.
pub(crate) fn embedded_webhook(
    name: &WebhookName,
    named: Option<ProfileName>,
    rotation: Switch,
    images: &[(String, Program)],
) -> Result<environment::Webhook, Stop> {
    let profile = profile(named);
    Ok(match name {
        WebhookName::Reference => environment::Webhook::Reference { profile: profile.unwrap_or(Profile::V1_6) },
        WebhookName::None => environment::Webhook::None,
        WebhookName::Exec(path) => {
            let program = program(&format!("--webhook exec:{}", path.display()), path)?;
            // What the file tells is known before anything runs, and plans go by it.
            let told = || go_program::product(&program).and_then(|product| Profile::named(product.profile()?));
            let profile = profile.or_else(told);
            environment::Webhook::Exec { program, profile, cert_rotation: rotation == Switch::On }
        }
        WebhookName::Release(folder) => {
            let fault = |why: String| Stop::new(Exit::Usage, format!("--webhook release:{}: {why}", folder.display()));
            let release = Release::read(folder, "").map_err(fault)?;
            let named = |image: &String| images.iter().any(|(name, _)| name == image);
            if let Some(image) = release.images().into_keys().find(|image| !named(image)) {
                return Err(fault(format!(
                    "no program is set for image {image}: set one with --image {image}=PROGRAM"
                )));
            }
            environment::Webhook::Release { folder: folder.clone(), profile }
        }
        WebhookName::Manifests(_) | WebhookName::Preinstalled => {
            let advice = "they need a real cluster, --target kind or a kubeconfig; here use `release:DIR` for manifests and `exec:PATH` for a program";
            return Err(Stop::new(Exit::Usage, format!("--webhook manifests and preinstalled: {advice}")));
        }
    })
}

/// The webhook under test, as a real cluster gets it.
pub(crate) fn real_webhook(
    name: &WebhookName,
    named: Option<ProfileName>,
    replicas: u32,
) -> Result<real_cluster::Webhook, Stop> {
    let profile = profile(named);
    match name {
        WebhookName::Reference => {
            Ok(real_cluster::Webhook::Reference { profile: profile.unwrap_or(Profile::V1_6), replicas })
        }
        WebhookName::None => Ok(real_cluster::Webhook::None),
        WebhookName::Preinstalled => Ok(real_cluster::Webhook::Preinstalled { profile }),
        WebhookName::Manifests(folder) | WebhookName::Release(folder) if folder.is_dir() => {
            Ok(real_cluster::Webhook::Manifests { folder: folder.clone(), profile })
        }
        WebhookName::Manifests(folder) | WebhookName::Release(folder) => {
            Err(Stop::new(Exit::Usage, format!("--webhook manifests:{}: no such folder", folder.display())))
        }
        WebhookName::Exec(_) => Err(Stop::new(
            Exit::Usage,
            "--webhook exec: not available on a real cluster; use `manifests:DIR` or `preinstalled`",
        )),
    }
}

/// A program that can be executed, by its whole path.
fn program(named: &str, path: &Path) -> Result<PathBuf, Stop> {
    let fault = |why: String| Stop::new(Exit::Usage, format!("{named}: {why}"));
    let program = path.canonicalize().map_err(|error| fault(error.to_string()))?;
    if is_program(&program) { Ok(program) } else { Err(fault("not an executable program".to_owned())) }
}
