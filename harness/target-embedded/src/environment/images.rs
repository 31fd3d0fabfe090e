//! What program an image name stands for.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use wi_engine::webhook_release::Release;
use wi_images::archive::USER;
use wi_images::proxy;
use wi_process_node::ImageProgram;

use super::Webhook;
use crate::manager;

/// Image of the webhook under test where it runs as a pod.
pub(super) const WEBHOOK_IMAGE: &str = "wi-conformance/webhook-under-test";
/// Where upstream's image holds its program.
pub(super) const MANAGER: &str = manager::PROGRAM;
/// How names of the upstream webhook's image end.
const UPSTREAM: &str = "azure/workload-identity/webhook";

/// A program that stands for an image.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program's file.
    pub path: PathBuf,
    /// Its first arguments, as an image's entry point has them.
    pub args: Vec<String>,
    /// Environment that the image would set.
    pub env: Vec<(String, String)>,
}

impl Program {
    /// A program without arguments.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Program { path: path.into(), args: Vec::new(), env: Vec::new() }
    }

    /// With an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }
}

/// Programs by image name.
pub(super) struct Images {
    named: Vec<(String, Program)>,
    /// Paths at which images hold their programs, by the images' names.
    held_at: BTreeMap<String, PathBuf>,
    /// The certificates of this Azure, for the image that cannot be given any otherwise.
    trust: PathBuf,
    proxy_env: BTreeMap<String, String>,
    /// The reference webhook stands for the upstream one's image.
    upstream_webhook: bool,
}

impl Images {
    pub(super) fn new(
        named: &[(String, Program)],
        webhook: &Webhook,
        trust: PathBuf,
        proxy_breaks: &BTreeSet<String>,
    ) -> Self {
        let mut named = named.to_vec();
        let mut held_at = BTreeMap::new();
        match webhook {
            Webhook::Exec { program, .. } => {
                named.push((WEBHOOK_IMAGE.to_owned(), Program::new(program)));
                held_at.insert(WEBHOOK_IMAGE.to_owned(), MANAGER.into());
            }
            // Manifests that cannot be read are told when they are applied.
            Webhook::Release { folder, .. } => {
                let images = Release::read(folder, "").map(|release| release.images()).unwrap_or_default();
                held_at.extend(images.into_iter().filter_map(|(image, path)| Some((image, path?))));
            }
            Webhook::Reference { .. } | Webhook::None => {}
        }
        // Upstream's own image holds its program there, whatever stands for it.
        for (name, _) in named.iter().filter(|(name, _)| name.ends_with(UPSTREAM)) {
            held_at.entry(name.clone()).or_insert_with(|| MANAGER.into());
        }
        Images { named, held_at, trust, proxy_env: proxy::env(proxy_breaks), upstream_webhook: false }
    }

    /// With the reference webhook for the upstream one's image. Never where that is judged: it would be taken for it.
    pub(super) fn with_upstream_webhook(self) -> Self {
        Images { upstream_webhook: true, ..self }
    }

    /// The names of all.
    pub(super) fn names(&self) -> Vec<String> {
        let named = self.named.iter().map(|(name, _)| name.clone());
        named.chain(wi_images::all().map(|(name, _)| name.to_owned())).collect()
    }

    /// The program of an image; `None` is an image that cannot be pulled.
    pub(super) fn resolve(&self, image: &str) -> Option<ImageProgram> {
        let repository = wi_images::repository(image);
        if let Some((_, program)) = self.named.iter().find(|(name, _)| name == repository) {
            let held_at = self.held_at.get(repository);
            let mut command = vec![held_at.unwrap_or(&program.path).clone().into_os_string()];
            command.extend(program.args.iter().map(OsString::from));
            return Some(ImageProgram {
                id: image.to_owned(),
                command,
                env: program.env.clone(),
                user: Some(USER),
                files: held_at.map(|path| (path.clone(), program.path.clone())).into_iter().collect(),
                ..ImageProgram::default()
            });
        }
        if self.upstream_webhook && repository.ends_with(UPSTREAM) {
            return Some(ImageProgram {
                id: format!("wi-conformance-reference/{image}"),
                command: vec![MANAGER.into()],
                user: Some(USER),
                files: vec![(MANAGER.into(), std::env::current_exe().ok()?)],
                ..ImageProgram::default()
            });
        }
        let built_in = wi_images::resolve(image)?;
        let this = std::env::current_exe().ok()?;
        if built_in.program == "proxy" {
            return Some(ImageProgram {
                id: image.to_owned(),
                command: vec![proxy::PROGRAM.into()],
                env: self.proxy_env.clone().into_iter().collect(),
                user: Some(proxy::USER),
                files: vec![(proxy::PROGRAM.into(), this), (proxy::TRUST.into(), self.trust.clone())],
                ..ImageProgram::default()
            });
        }
        let command = vec![this.into_os_string(), crate::entry::MARKER.into(), built_in.program.into()];
        Some(ImageProgram {
            id: image.to_owned(),
            command,
            env: built_in.env.into_iter().collect(),
            user: Some(USER),
            ..ImageProgram::default()
        })
    }
}
