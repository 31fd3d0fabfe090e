//! A program that reads one secret with workload identity, as any project might have it.

use azure_identity::WorkloadIdentityCredential;
use azure_security_keyvault_secrets::SecretClient;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(vault), Some(name)) = (arguments.next(), arguments.next()) else {
        return Err("usage: reader VAULT-URL SECRET-NAME".into());
    };
    let client = SecretClient::new(&vault, WorkloadIdentityCredential::new(None)?, None)?;
    let secret = client.get_secret(&name, None).await?.into_model()?;
    println!("Your secret is {}", secret.value.unwrap_or_default());
    Ok(())
}
