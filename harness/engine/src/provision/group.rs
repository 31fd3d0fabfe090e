//! The resource group of a run, and those beside it.

use super::Ground;
use crate::azure::Azure;
use crate::cluster::sentence;
use crate::lease::Lease;
use crate::ledger::{Ledger, Owned};

/// The resource group of a run: one for all its cases, made when the first needs it.
#[derive(Debug)]
pub(crate) struct Group {
    name: String,
    number: tokio::sync::OnceCell<u64>,
}

impl Group {
    pub(crate) fn new(prefix: &str, run_id: &str) -> Self {
        let hash = wi_model::secret::sha256_hex(run_id.as_bytes());
        Group { name: format!("{prefix}-{}", &hash[..10]), number: tokio::sync::OnceCell::new() }
    }

    /// Its name, once it is there.
    pub(super) async fn made(&self, ground: &Ground<'_>) -> Result<String, String> {
        let make = || async {
            let owned = Owned::ResourceGroup { name: self.name.clone() };
            let number = ground.ledger.owns(&owned).map_err(|error| sentence(&error))?;
            let made = ground.azure.arm().put_group(&self.name, ground.run_id).await;
            made.map_err(|error| error.to_string()).map(|()| number)
        };
        self.number.get_or_try_init(make).await?;
        Ok(self.name.clone())
    }

    /// The name of a group that is one case's alone.
    pub(super) async fn beside(&self, ground: &Ground<'_>, suffix: &str, lease: &mut Lease) -> Result<String, String> {
        let name = format!("{}-{suffix}", self.name);
        lease.take(Owned::ResourceGroup { name: name.clone() }).map_err(|error| sentence(&error))?;
        let made = ground.azure.arm().put_group(&name, ground.run_id).await;
        made.map_err(|error| error.to_string()).map(|()| name)
    }

    /// Deletes it, if it was made, and whatever is still in it.
    pub(crate) async fn remove(&self, azure: &Azure, ledger: &Ledger) -> Option<String> {
        let number = *self.number.get()?;
        let removed = azure.arm().delete_group(&self.name).await.map_err(|error| error.to_string());
        let removed = removed.and_then(|()| ledger.released(number).map_err(|error| sentence(&error)));
        removed.err().map(|why| format!("resource group {}: {why}", self.name))
    }
}
