//! Looks at a target before a run, and changes nothing. Every point that is not met is a line, with its remedy.

use base64::Engine as _;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wi_engine::kubernetes::{self, sentence};
use wi_engine::production_check::looks_like_production;
use wi_engine::{Reader, WEBHOOK};
use wi_model::capability::Capability;
use wi_model::secret::Secret;
use wi_model::target::AzureTarget;
use wi_model::target::file::ManagedCluster;

use super::{Fit, Options, registry, remedy, rights, vaults};

/// Versions of the interfaces.
const SUBSCRIPTIONS: &str = "2022-12-01";
const CLUSTERS: &str = "2025-10-01";
const PERMISSIONS: &str = "2022-04-01";

/// What is looked at, and what was found.
struct Survey<'a> {
    options: &'a Options,
    azure: AzureTarget,
    reader: Reader,
    tell: &'a (dyn Fn(&str) + Sync),
    unmet: Vec<String>,
    /// Our client id, for commands that name it.
    client: String,
}

pub(super) async fn survey(
    options: &Options,
    tell: &(dyn Fn(&str) + Sync),
    cancel: &CancellationToken,
) -> Result<Fit, Vec<String>> {
    let azure = options.azure_target().map_err(|why| vec![why])?;
    let reader = Reader::connect(&azure, cancel.clone()).map_err(|why| vec![why])?;
    let mut survey = Survey { options, azure, reader, tell, unmet: Vec::new(), client: String::new() };
    // What everything else rests on comes first, and ends the survey.
    survey.account().await.map_err(|why| vec![why])?;
    let managed = survey.managed_cluster().await.map_err(|why| vec![why])?;
    survey.permissions().await;
    survey.vaults().await;
    let kubeconfig = match options.kubeconfig() {
        Some(read) => read,
        None => user_kubeconfig(options, &survey.reader).await,
    };
    let webhook = match kubeconfig {
        Ok(kubeconfig) => {
            let found = survey.cluster(&kubeconfig, managed.as_ref()).await;
            found.map(|webhook| (kubeconfig, webhook)).map_err(|why| survey.unmet.push(why)).ok()
        }
        Err(why) => {
            survey.unmet.push(why);
            None
        }
    };
    match webhook {
        Some((kubeconfig, webhook)) if survey.unmet.is_empty() => {
            Ok(Fit { target: options.assemble(survey.azure, kubeconfig, webhook) })
        }
        _ => Err(survey.unmet),
    }
}

/// The user's kubeconfig of the cluster, as Azure gives it.
pub(super) async fn user_kubeconfig(options: &Options, reader: &Reader) -> Result<Secret, String> {
    let (Some(managed), Some(azure)) = (&options.file.managed_cluster, options.azure()) else {
        return Err("the target names neither a kubeconfig nor a managed cluster".to_owned());
    };
    let managed = &managed.value;
    let path = format!("{}/listClusterUserCredential", place(managed, &azure.subscription.value));
    let answer = reader.post_to_read(&path, CLUSTERS, None).await.map_err(|fault| {
        format!(
            "cluster {}: no permission to get its credential; assign the role `Azure Kubernetes Service Cluster User Role`: `az role assignment create --role 'Azure Kubernetes Service Cluster User Role' --assignee CLIENT_ID --scope {}` ({fault})",
            managed.name,
            place(managed, &azure.subscription.value)
        )
    })?;
    let encoded = answer["kubeconfigs"][0]["value"].as_str().unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default();
    let text = String::from_utf8(bytes).ok().filter(|text| !text.is_empty());
    text.map(Secret::new).ok_or_else(|| format!("cluster {}: the answer contains no kubeconfig", managed.name))
}

fn place(managed: &ManagedCluster, usual: &str) -> String {
    let ManagedCluster { subscription, resource_group, name } = managed;
    let subscription = subscription.as_deref().unwrap_or(usual);
    format!(
        "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.ContainerService/managedClusters/{name}"
    )
}

impl Survey<'_> {
    /// Signs in and reads the subscription.
    async fn account(&mut self) -> Result<(), String> {
        let (tenant, subscription) = (self.azure.tenant_id.clone(), self.azure.subscription_id.clone());
        let signed_in = self.reader.sign_in().await.map_err(|fault| remedy::of_sign_in(&fault, &tenant))?;
        let client = signed_in.client_id.clone().unwrap_or_else(|| "CLIENT_ID".to_owned());
        self.client.clone_from(&client);
        (self.tell)(&format!("signed in by {} as {client} in tenant {}", signed_in.credential, signed_in.tenant));
        if !signed_in.tenant.eq_ignore_ascii_case(&tenant) {
            return Err(format!(
                "signed in to tenant {}, but the target is in {tenant}: `az login --tenant {tenant}`",
                signed_in.tenant
            ));
        }
        let read = self.reader.get(&format!("/subscriptions/{subscription}"), SUBSCRIPTIONS).await;
        let read = read.map_err(|fault| remedy::of_subscription(&fault, &subscription, &client))?;
        match read["state"].as_str() {
            None | Some("Enabled") => Ok(()),
            Some(state) => Err(format!("subscription {subscription} is {state}; it must be Enabled")),
        }
    }

    /// Reads the cluster's place in Azure, where the target names one.
    async fn managed_cluster(&mut self) -> Result<Option<Value>, String> {
        let Some(managed) = self.options.file.managed_cluster.as_ref().map(|managed| &managed.value) else {
            return Ok(None);
        };
        let ManagedCluster { resource_group, name, .. } = managed;
        let found = self.reader.get(&place(managed, &self.azure.subscription_id), CLUSTERS).await;
        let found = found.map_err(|fault| match fault.status {
            Some(403) => format!(
                "cluster {name}: no permission to read it: `az role assignment create --role 'Azure Kubernetes Service Cluster User Role' --assignee {} --scope {}` ({fault})",
                self.client,
                place(managed, &self.azure.subscription_id)
            ),
            _ => format!("cluster {name} in resource group {resource_group}: not found; `az aks list --output table` lists the clusters ({fault})"),
        })?;
        let at = format!("--resource-group {resource_group} --name {name}");
        let properties = &found["properties"];
        if properties["powerState"]["code"] == "Stopped" {
            return Err(format!("cluster {name} is stopped: `az aks start {at}`"));
        }
        if properties["oidcIssuerProfile"]["enabled"] != true {
            self.unmet.push(format!("cluster {name} has no OIDC issuer: `az aks update {at} --enable-oidc-issuer`"));
        }
        if properties["securityProfile"]["workloadIdentity"]["enabled"] != true {
            self.unmet.push(format!(
                "cluster {name} has workload identity disabled: `az aks update {at} --enable-workload-identity`"
            ));
        }
        if !self.options.confirmed
            && let Some((key, value)) = found["tags"].as_object().into_iter().flatten().find(|(_, value)| {
                value.as_str().is_some_and(|value| looks_like_production(value, "", &[], usize::MAX).is_some())
            })
        {
            self.unmet.push(format!(
                "this cluster looks like production: it has the tag {key}={}; use --yes if a test run may use it",
                value.as_str().unwrap_or_default()
            ));
        }
        Ok(Some(found))
    }

    /// Our rights in the subscription.
    async fn permissions(&mut self) {
        let subscription = &self.azure.subscription_id;
        let path = format!("/subscriptions/{subscription}/providers/Microsoft.Authorization/permissions");
        match self.reader.get(&path, PERMISSIONS).await {
            Ok(permissions) => {
                let missing = rights::missing_actions(&permissions);
                if !missing.is_empty() {
                    self.unmet.push(format!(
                        "subscription {subscription}: no permission to {}: `az role assignment create --role Contributor --assignee {} --scope /subscriptions/{subscription}`",
                        missing.join(", "),
                        self.client
                    ));
                }
            }
            Err(fault) => (self.tell)(&format!(
                "the permissions in the subscription cannot be read, so they are not checked ({fault})"
            )),
        }
        if let Err(fault) = self.reader.may_read_applications().await {
            (self.tell)(&format!(
                "no permission to create applications in Microsoft Graph, so cases with service principals will be blocked: grant Application.ReadWrite.OwnedBy ({fault})"
            ));
        }
    }

    /// Whether vaults can be made, and what earlier ones still hold.
    async fn vaults(&mut self) {
        let subscription = &self.azure.subscription_id;
        match vaults::no_name(&self.reader, subscription).await {
            Ok(why) => self.unmet.extend(why),
            Err(fault) => (self.tell)(&format!("cannot check whether vault names are available ({fault})")),
        }
        match vaults::deleted(&self.reader, subscription).await {
            Ok(0) => {}
            Ok(count) => (self.tell)(&format!(
                "{count} vaults of earlier runs are soft-deleted: `wi-conformance sweep --target TARGET --delete` purges them"
            )),
            Err(fault) => (self.tell)(&format!("soft-deleted vaults cannot be listed ({fault})")),
        }
    }

    /// Whether nodes can come by what our pods run.
    async fn images(&mut self, nodes: &[Node]) {
        if !self.options.capabilities().contains(&Capability::RunsPods) {
            return;
        }
        let registry::Found { unmet, told } = registry::look(&self.options.images(), nodes).await;
        self.unmet.extend(unmet);
        told.iter().for_each(|line| (self.tell)(line));
    }

    /// Looks at the cluster, and gives back what the webhook is, if there is one.
    async fn cluster(&mut self, kubeconfig: &Secret, managed: Option<&Value>) -> Result<Option<String>, String> {
        let context = self.options.context();
        let client = kubernetes::client(kubeconfig.expose(), context.as_deref()).await;
        let client = client.map_err(|why| format!("the kubeconfig is not usable: {why}"))?;
        let nodes: Api<Node> = Api::all(client.clone());
        let nodes = nodes.list(&ListParams::default()).await;
        let nodes = nodes.map_err(|error| match &error {
            kube::Error::Api(status) if matches!(status.code, 401 | 403) => format!(
                "no permission to list nodes: `az role assignment create --role 'Azure Kubernetes Service RBAC Cluster Admin' --assignee CLIENT_ID --scope CLUSTER_ID` ({})",
                sentence(&error)
            ),
            _ => format!("the cluster does not answer: check that it is running and reachable from here ({})", sentence(&error)),
        })?;
        self.guard(&nodes.items, context.as_deref().unwrap_or_default());
        self.images(&nodes.items).await;
        self.issuer(&client, managed).await;
        match rights::missing_verbs(&client).await {
            Ok(missing) if missing.is_empty() => {}
            Ok(missing) => self.unmet.push(format!(
                "no permission in the cluster to {}: `kubectl create clusterrolebinding wi-conformance --clusterrole cluster-admin --user OUR_USER`",
                missing.join(", ")
            )),
            Err(error) => (self.tell)(&format!("the permissions in the cluster cannot be read, so they are not checked ({})", sentence(&error))),
        }
        self.webhook(&client).await
    }

    fn guard(&mut self, nodes: &[Node], context: &str) {
        let most = self.options.file.production.nodes.map_or(10, |nodes| nodes as usize);
        if self.options.confirmed {
            return;
        }
        let name = if context.is_empty() { self.options.name() } else { context.to_owned() };
        if let Some(why) = looks_like_production(&name, "", nodes, most) {
            self.unmet.push(format!("this cluster looks like production: {why}; use --yes if a test run may use it"));
        }
    }

    /// The issuer as the cluster tells it, as Azure tells it, and as the world sees it.
    async fn issuer(&mut self, client: &kube::Client, managed: Option<&Value>) {
        let request = http::Request::get("/.well-known/openid-configuration").body(Vec::new());
        let Ok(request) = request else { return };
        let issuer = match client.request::<Value>(request).await {
            Ok(document) => document["issuer"].as_str().unwrap_or_default().to_owned(),
            Err(error) => {
                self.unmet.push(format!(
                    "the cluster does not publish its issuer: `az aks update --enable-oidc-issuer`, or for other clusters set --service-account-issuer ({})",
                    sentence(&error)
                ));
                return;
            }
        };
        if let Some(told) = managed.and_then(|managed| managed["properties"]["oidcIssuerProfile"]["issuerURL"].as_str())
            && told != issuer
        {
            self.unmet.push(format!("Azure reports the issuer {told}, but the cluster reports {issuer}, so tokens will not match; `kubectl get --raw /.well-known/openid-configuration` shows the cluster's"));
        }
        // Where Azure is served at one address, its network path to the issuer cannot be checked from here.
        if self.azure.connect.is_none() && self.options.capabilities().contains(&Capability::IssuerReachable) {
            let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
            match self.reader.get_open(&url).await {
                Ok(document) if document["issuer"] == issuer.as_str() => {}
                Ok(document) => self.unmet.push(format!(
                    "{url} names the issuer {}, but the cluster reports {issuer}, so tokens will be refused",
                    document["issuer"]
                )),
                Err(fault) => self.unmet.push(format!(
                    "the issuer {issuer} is not reachable from the internet, so Entra ID cannot reach it: `curl {url}` ({fault})"
                )),
            }
        }
    }

    /// The webhook that is registered, with the image that serves it.
    async fn webhook(&mut self, client: &kube::Client) -> Result<Option<String>, String> {
        if !self.options.capabilities().contains(&Capability::Webhook) {
            return Ok(None);
        }
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
        let all = configurations.list(&ListParams::default()).await;
        let all = all.map_err(|error| {
            format!("the webhook registrations of the cluster cannot be read: {}", sentence(&error))
        })?;
        let named = self.options.file.webhook.registration.as_deref();
        let found = all.items.iter().filter(|one| named.is_none() || one.metadata.name.as_deref() == named);
        let webhook = found.flat_map(|one| one.webhooks.iter().flatten()).find(|webhook| webhook.name == WEBHOOK);
        let Some(webhook) = webhook else {
            return Err(format!(
                "no webhook {WEBHOOK} is registered: `az aks update --enable-workload-identity`, or `helm install workload-identity-webhook azure-workload-identity/workload-identity-webhook --namespace azure-workload-identity-system --create-namespace --set azureTenantID={}`",
                self.azure.tenant_id
            ));
        };
        let Some(service) = &webhook.client_config.service else { return Ok(None) };
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), &service.namespace);
        let Ok(deployments) = deployments.list(&ListParams::default()).await else { return Ok(None) };
        let image = |deployment: &Deployment| {
            let containers = &deployment.spec.template.spec.as_ref()?.containers;
            let image = containers.first()?.image.clone()?;
            (image.contains("webhook") || image.contains("workload-identity")).then_some(image)
        };
        let image = deployments.items.iter().find_map(image);
        if let Some(image) = &image {
            (self.tell)(&format!("webhook {image}"));
        }
        Ok(image.map(|image| image.rsplit('/').next().unwrap_or(&image).to_owned()))
    }
}
