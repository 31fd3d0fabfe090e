//! Starts the cluster and the emulated Azure from Rust and uses them with an ordinary client.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, PostParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use wi_conformance::{Environment, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Pods are processes made from this very executable.
    wi_conformance::entry();
    tokio::runtime::Runtime::new()?.block_on(async {
        let environment = Environment::start(Options::default()).await?;

        let kubeconfig = Kubeconfig::from_yaml(&environment.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = kube::Client::try_from(config)?;
        let namespaces: Vec<String> = Api::<Namespace>::all(client.clone())
            .list(&Default::default())
            .await?
            .items
            .into_iter()
            .filter_map(|namespace| namespace.metadata.name)
            .collect();
        assert!(namespaces.iter().any(|name| name == "default"), "{namespaces:?}");

        // The webhook is installed: a labelled pod comes back with a projected token.
        let pod: Pod = parse(r#"{"metadata":{"name":"p","labels":{"azure.workload.identity/use":"true"}},"spec":{"containers":[{"name":"app","image":"quickstart/pause"}]}}"#);
        let created = Api::<Pod>::namespaced(client, "default").create(&PostParams::default(), &pod).await?;
        let volumes = created.spec.and_then(|spec| spec.volumes).unwrap_or_default();
        assert!(volumes.iter().any(|volume| volume.name.starts_with("azure-workload-identity-reserved-")), "{volumes:?}");

        println!("issuer    {}", environment.issuer());
        println!("azure     {} ({} bytes of CA)", environment.azure().address(), environment.azure().ca_pem().len());
        println!("journal   {}/journal", environment.azure().control_url());
        environment.stop().await?;
        println!("1 passed, 0 failed");
        Ok(())
    })
}

fn parse(json: &str) -> Pod {
    k8s_openapi::serde_json::from_str(json).expect("the pod is constant")
}
