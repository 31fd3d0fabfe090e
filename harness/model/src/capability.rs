//! The closed list of what a target can do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that a target offers beyond addresses, certificates and a credential. A scenario that needs one which the
/// target lacks is *not applicable* there, with the missing capability as the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Pods really run, and their logs can be read.
    RunsPods,
    /// The proxy that the webhook injects really runs in pods.
    RunsProxy,
    /// A workload identity webhook is installed and may be judged.
    Webhook,
    /// The installation of the webhook may be taken away or cut off for a case.
    WebhookControl,
    /// The identity provider can fetch the cluster's discovery document and keys.
    IssuerReachable,
    /// Identities, federated credentials and vaults can be made.
    Azure,
    /// What the identity provider and the vaults were asked and what they answered can be read back.
    RequestJournal,
    /// What the API server sent to admission webhooks and what they answered can be read back.
    AdmissionJournal,
    /// The time that the cluster and the identity provider see can be moved by a scenario.
    VirtualTime,
    /// The webhook's settings may be changed for a case.
    WebhookSettings,
    /// The CA by which the API server knows the webhook may be changed for a case, and stays so: the webhook does not
    /// restore its own.
    WebhookCa,
    /// The webhook can be upgraded from an older profile to the newest one while a case runs.
    WebhookUpgrade,
    /// The keys that the cluster signs tokens with, and what it publishes of them, can be changed by a scenario.
    IssuerControl,
    /// Parts of Azure can be made to fail for one case.
    AzureFaults,
    /// The ids of identities and service principals can be stated, which Azure makes up otherwise.
    ChosenIds,
    /// A case may have a cluster whose issuer it states.
    ChosenIssuer,
    /// Objects of the cluster that were there before may be changed or taken away by a case that says so, and are put back.
    ExistingObjects,
    /// The API server can be made to behave otherwise for a case, as real ones sometimes do.
    ApiServerControl,
    /// The API server can state any version.
    KubernetesVersion,
    /// Nothing answers pods at the address of the node's metadata service.
    NoMetadataService,
}

impl Capability {
    /// Every capability, in order.
    pub const ALL: [Capability; 20] = [
        Capability::RunsPods,
        Capability::RunsProxy,
        Capability::Webhook,
        Capability::WebhookControl,
        Capability::IssuerReachable,
        Capability::Azure,
        Capability::RequestJournal,
        Capability::AdmissionJournal,
        Capability::VirtualTime,
        Capability::WebhookSettings,
        Capability::WebhookCa,
        Capability::WebhookUpgrade,
        Capability::IssuerControl,
        Capability::AzureFaults,
        Capability::ChosenIds,
        Capability::ChosenIssuer,
        Capability::ExistingObjects,
        Capability::ApiServerControl,
        Capability::KubernetesVersion,
        Capability::NoMetadataService,
    ];

    /// The word used in scenario and target files.
    pub fn word(self) -> &'static str {
        match self {
            Capability::RunsPods => "runs-pods",
            Capability::RunsProxy => "runs-proxy",
            Capability::Webhook => "webhook",
            Capability::WebhookControl => "webhook-control",
            Capability::IssuerReachable => "issuer-reachable",
            Capability::Azure => "azure",
            Capability::RequestJournal => "request-journal",
            Capability::AdmissionJournal => "admission-journal",
            Capability::VirtualTime => "virtual-time",
            Capability::WebhookSettings => "webhook-settings",
            Capability::WebhookCa => "webhook-ca",
            Capability::WebhookUpgrade => "webhook-upgrade",
            Capability::IssuerControl => "issuer-control",
            Capability::AzureFaults => "azure-faults",
            Capability::ChosenIds => "chosen-ids",
            Capability::ChosenIssuer => "chosen-issuer",
            Capability::ExistingObjects => "existing-objects",
            Capability::ApiServerControl => "api-server-control",
            Capability::KubernetesVersion => "kubernetes-version",
            Capability::NoMetadataService => "no-metadata-service",
        }
    }
}

impl Capability {
    /// The word, with what the lack of it means where the word alone does not say it.
    pub fn lack(self) -> String {
        match self {
            Capability::WebhookCa => format!("{self}: the webhook restores its own CA"),
            Capability::RunsPods
            | Capability::RunsProxy
            | Capability::Webhook
            | Capability::WebhookControl
            | Capability::IssuerReachable
            | Capability::Azure
            | Capability::RequestJournal
            | Capability::AdmissionJournal
            | Capability::VirtualTime
            | Capability::WebhookSettings
            | Capability::WebhookUpgrade
            | Capability::IssuerControl
            | Capability::AzureFaults
            | Capability::ChosenIds
            | Capability::ChosenIssuer
            | Capability::ExistingObjects
            | Capability::ApiServerControl
            | Capability::KubernetesVersion
            | Capability::NoMetadataService => self.to_string(),
        }
    }
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_what_a_file_says() {
        for capability in Capability::ALL {
            assert_eq!(serde_json::to_value(capability).unwrap(), capability.word());
        }
    }
}
