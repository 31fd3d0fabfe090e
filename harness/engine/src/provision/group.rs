//! The resource group of a run, and those beside it.

use tokio::sync::Mutex;

use super::Ground;
use crate::azure::Azure;
use crate::cluster::sentence;
use crate::lease::Lease;
use crate::ledger::{Entry, Ledger, Owned};
use crate::undo::{Kept, Left, Undo};

/// The resource group of a run: one for all its cases, made when the first needs it.
#[derive(Debug)]
pub(crate) struct Group {
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In the ledger, once it was asked for.
    entry: Option<Entry>,
    ready: bool,
}

impl Group {
    pub(crate) fn new(prefix: &str, run_id: &str) -> Self {
        let hash = wi_model::secret::sha256_hex(run_id.as_bytes());
        Group { name: format!("{prefix}-{}", &hash[..10]), state: Mutex::default() }
    }

    /// Whether a group's name is one that a run gives: its own group's, or that of one beside it.
    pub(crate) fn is_of(name: &str, prefix: &str, run_id: &str) -> bool {
        let own = Group::new(prefix, run_id).name;
        !run_id.is_empty() && name.strip_prefix(&own).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    #[cfg(test)]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its name, once it is there.
    pub(super) async fn made(&self, ground: &Ground<'_>) -> Result<String, String> {
        let mut state = self.state.lock().await;
        if state.ready {
            return Ok(self.name.clone());
        }
        if state.entry.is_none() {
            state.entry = Some(ground.ledger.owns(owned(&self.name)).map_err(|error| sentence(&error))?);
        }
        let Some(entry) = &mut state.entry else { return Err(taken(&self.name)) };
        let made = make(ground, &entry.owned).await?;
        if !made {
            let number = entry.number;
            state.entry = None;
            ground.ledger.released(number).map_err(|error| sentence(&error))?;
            return Err(taken(&self.name));
        }
        ground.ledger.made(entry, &self.name).map_err(|error| sentence(&error))?;
        confirm(ground, &entry.owned).await?;
        state.ready = true;
        Ok(self.name.clone())
    }

    /// The name of a group that is one case's alone.
    pub(super) async fn beside(&self, ground: &Ground<'_>, suffix: &str, lease: &mut Lease) -> Result<String, String> {
        let name = format!("{}-{suffix}", self.name);
        let owned = owned(&name);
        if lease.owns_group(&name) {
            // Another identity of the same case asked for it.
            return Ok(name);
        }
        lease.take(owned.clone()).map_err(|error| sentence(&error))?;
        if !make(ground, &owned).await? {
            lease.forget().map_err(|error| sentence(&error))?;
            return Err(taken(&name));
        }
        lease.made(&name).map_err(|error| sentence(&error))?;
        confirm(ground, &owned).await?;
        Ok(name)
    }

    /// Deletes it, if it was made, and whatever of the run is still in it; not where it is one of the `spared`.
    pub(crate) async fn remove(&self, azure: &Azure, ledger: &Ledger, run: &str, spared: Vec<String>) -> Option<Left> {
        let entry = self.state.lock().await.entry.take()?;
        let mut undo = Undo::new(Err("it is not in a cluster"), azure, run, &[]).sparing(spared);
        let undone = undo.undo_in_time(&entry).await;
        if undone.as_ref().err().is_none_or(Kept::is_settled)
            && let Err(error) = ledger.released(entry.number)
        {
            return Some(Left::new(&entry.owned, Kept::Failed(sentence(&error))));
        }
        undone.err().map(|why| Left::new(&entry.owned, why))
    }
}

fn owned(name: &str) -> Owned {
    Owned::ResourceGroup { name: name.to_owned(), made: Some(jiff::Timestamp::now().to_string()) }
}

fn taken(name: &str) -> String {
    format!("resource group {name} exists already and belongs to another user, so it is not changed")
}

async fn make(ground: &Ground<'_>, owned: &Owned) -> Result<bool, String> {
    let Owned::ResourceGroup { name, made: Some(made) } = owned else { return Ok(false) };
    ground.azure.arm().make_group(name, ground.run_id, made).await.map_err(|error| error.to_string())
}

async fn confirm(ground: &Ground<'_>, owned: &Owned) -> Result<(), String> {
    let Owned::ResourceGroup { name, made: Some(made) } = owned else { return Ok(()) };
    ground.azure.arm().confirm_group(name, made).await.map_err(|error| error.to_string())
}
