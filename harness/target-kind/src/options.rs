//! What a cluster that is opened so offers, before it is touched.

use super::*;

impl Options {
    /// What such a cluster can do, before it is started.
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        let mut all: BTreeSet<Capability> = Capability::ALL.into();
        for other in [
            Capability::VirtualTime,
            Capability::AdmissionJournal,
            Capability::IssuerControl,
            Capability::WebhookSettings,
            Capability::WebhookUpgrade,
            Capability::ChosenIssuer,
            Capability::ApiServerControl,
            Capability::KubernetesVersion,
            // A pod's way to the address leads out of the cluster, where anything may answer.
            Capability::NoMetadataService,
        ] {
            all.remove(&other);
        }
        // What was on a cluster before belongs to another user; only one that is made for the run holds nothing else.
        let permitted = match &self.which {
            Which::New(_) => true,
            Which::Standing { .. } => false,
            Which::Named { cluster, .. } => cluster.existing_objects,
        };
        if !permitted {
            all.remove(&Capability::ExistingObjects);
        }
        // What other webhooks inject names images that nobody brings to the nodes, with certificates that nobody knows.
        if !matches!(self.webhook, Webhook::Reference { .. }) {
            all.remove(&Capability::RunsProxy);
        }
        match self.webhook {
            Webhook::None => _ = all.remove(&Capability::Webhook),
            // Manifests that cannot be read are told when they are applied.
            Webhook::Manifests { ref folder, .. }
                if Release::read(folder, "").is_ok_and(|release| release.rotates()) =>
            {
                _ = all.remove(&Capability::WebhookCa);
            }
            // What others rely on is not ours to take away.
            Webhook::Preinstalled { .. } => _ = all.remove(&Capability::WebhookControl),
            Webhook::Reference { .. } | Webhook::Manifests { .. } => {}
        }
        all
    }

    /// What is known of such a cluster, before it is there.
    pub fn offer(&self) -> Offer {
        let new = matches!(self.which, Which::New(_));
        let namespaces =
            ["default", "kube-system", "kube-public", "kube-node-lease", "local-path-storage"].map(str::to_owned);
        Offer {
            capabilities: self.capabilities(),
            kinds: if new { Kinds::Own } else { Kinds::Unknown },
            // Nodes pull what there is.
            images: None,
            namespaces: new.then(|| namespaces.into()),
            kubernetes: None,
            profile: self.under_test(None).profile,
        }
    }

    pub(super) fn under_test(&self, registered: Option<&Registered>) -> WebhookUnderTest {
        let (name, profile) = match &self.webhook {
            Webhook::Reference { profile, .. } => (format!("reference {}", profile.word()), Some(*profile)),
            Webhook::Manifests { folder, profile } => {
                (format!("manifests:{}", folder.file_name().unwrap_or_default().to_string_lossy()), *profile)
            }
            Webhook::Preinstalled { profile } => ("preinstalled".to_owned(), *profile),
            Webhook::None => ("none".to_owned(), None),
        };
        WebhookUnderTest {
            name,
            profile: profile.map(|profile| profile.word().to_owned()),
            product: match &self.webhook {
                Webhook::Reference { .. } => Product::new("wi-conformance-reference", env!("CARGO_PKG_VERSION")),
                Webhook::Manifests { .. } | Webhook::Preinstalled { .. } => {
                    registered.and_then(|registered| registered.product.clone())
                }
                Webhook::None => None,
            },
            registration: registered.and_then(|registered| registered.registration.clone()),
            upgrade: None,
        }
    }

    pub(super) fn stays(&self) -> Option<Stays> {
        match &self.which {
            Which::New(new) => Some(new.stays),
            Which::Standing { .. } | Which::Named { .. } => None,
        }
    }
}
