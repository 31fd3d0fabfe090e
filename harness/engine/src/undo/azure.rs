//! Undoing what was made in Azure. Its deletions know no preconditions, so a thing is looked at right before it goes.

use serde_json::Value;

use super::{Kept, Undo};
use crate::azure::{AzureError, MADE_TAG, MAKING_TAG, RUN_TAG, created_at, untouched};
use crate::ledger::Entry;

fn failed(error: AzureError) -> Kept {
    Kept::Failed(error.to_string())
}

impl Undo<'_> {
    /// Whether tags are those that we gave.
    fn marked(&self, entry: &Entry, tags: &Value, made: Option<&str>) -> Result<(), Kept> {
        let ours = tags[RUN_TAG] == self.run && made.is_none_or(|made| tags[MADE_TAG] == made);
        if ours {
            return Ok(());
        }
        let mark = format!("{RUN_TAG}={}", self.run);
        Err(match entry.identity {
            Some(_) => Kept::TakenOver { mark },
            None => Kept::Unproven { why: format!("it does not carry {mark}") },
        })
    }

    /// Whether a resource is the very one that we made: by what the service called it then; or because we said so once we
    /// knew; or, where the service's answer never came, because nobody has written it since it was created, so that our tags
    /// are from its creation.
    fn same(&self, entry: &Entry, found: &Value, shown: Option<&str>) -> Result<(), Kept> {
        match (&entry.identity, shown) {
            (Some(ours), Some(shown)) if ours != shown => {
                Err(Kept::Replaced { expected: ours.clone(), found: shown.to_owned() })
            }
            (Some(_), _) => Ok(()),
            (None, _) if found["tags"][MAKING_TAG].is_null() || untouched(found) => Ok(()),
            (None, _) => Err(Kept::Unproven { why: "it was not created with its current mark".to_owned() }),
        }
    }

    pub(super) async fn group(&self, entry: &Entry, name: &str, made: Option<&str>) -> Result<(), Kept> {
        let arm = self.azure.arm();
        let Some(found) = arm.find_group(name).await.map_err(failed)? else { return Ok(()) };
        self.marked(entry, &found["tags"], made)?;
        if entry.identity.is_none() && !found["tags"][MAKING_TAG].is_null() {
            // The mark was put on before it was known whether the group was there already.
            return Err(Kept::Unproven { why: "its creation was not confirmed".to_owned() });
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for inside in arm.resources_of(name).await.map_err(failed)? {
            let (kind, inner) = (text(&inside["type"]), text(&inside["name"]));
            let whole = match &inside["tags"][MAKING_TAG] {
                Value::Null => None,
                _ if kind.ends_with("/vaults") => arm.find_vault(name, &inner).await.map_err(failed)?,
                _ => arm.find_identity(name, &inner).await.map_err(failed)?,
            };
            let made_by_us = inside["tags"][RUN_TAG] == self.run && whole.is_none_or(|whole| untouched(&whole));
            if !made_by_us {
                return Err(Kept::Holds { what: format!("{kind} {inner}") });
            }
        }
        arm.delete_group(name).await.map_err(failed)
    }

    pub(super) async fn identity(
        &self,
        entry: &Entry,
        group: &str,
        name: &str,
        made: Option<&str>,
    ) -> Result<(), Kept> {
        let arm = self.azure.arm();
        let Some(found) = arm.find_identity(group, name).await.map_err(failed)? else { return Ok(()) };
        self.same(entry, &found, found["properties"]["principalId"].as_str())?;
        self.marked(entry, &found["tags"], made)?;
        arm.delete_identity(group, name).await.map_err(failed)
    }

    /// A vault, also when soft-deleted.
    pub(super) async fn vault(
        &self,
        entry: &Entry,
        (group, name, location): (&str, &str, &str),
        made: Option<&str>,
    ) -> Result<(), Kept> {
        let arm = self.azure.arm();
        if let Some(found) = arm.find_vault(group, name).await.map_err(failed)? {
            self.same(entry, &found, created_at(&found))?;
            self.marked(entry, &found["tags"], made)?;
            arm.delete_vault(group, name, location).await.map_err(failed)?;
        }
        let Some(deleted) = arm.find_deleted_vault(location, name).await.map_err(failed)? else { return Ok(()) };
        let properties = &deleted["properties"];
        let was_in = format!("/resourcegroups/{group}/").to_lowercase();
        if !properties["vaultId"].as_str().is_some_and(|id| id.to_lowercase().contains(&was_in)) {
            let found = properties["vaultId"].as_str().unwrap_or("no id").to_owned();
            return Err(Kept::Replaced { expected: format!("a vault of resource group {group}"), found });
        }
        self.marked(entry, &properties["tags"], made)?;
        arm.purge_vault(location, name).await.map_err(failed)
    }

    /// A role that a principal of this run was given: nobody else's principal has that object id.
    pub(super) async fn role_assignment(&self, path: &str, principal: &str) -> Result<(), Kept> {
        let arm = self.azure.arm();
        let Some(found) = arm.find_assignment(path).await.map_err(failed)? else { return Ok(()) };
        let holder = found["properties"]["principalId"].as_str().unwrap_or_default();
        if holder != principal {
            return Err(Kept::Replaced { expected: principal.to_owned(), found: holder.to_owned() });
        }
        arm.delete_assignment(path).await.map_err(failed)
    }

    /// An application by its object id, which no other one ever gets; or, where none was told, by its tags.
    pub(super) async fn application(&self, entry: &Entry, name: &str, made: Option<&str>) -> Result<(), Kept> {
        let graph = self.azure.graph();
        if let Some(object_id) = &entry.identity {
            if let Some(found) = graph.find_application(object_id).await.map_err(failed)?
                && !graph.is_marked(&found, self.run, made)
            {
                return Err(Kept::TakenOver { mark: format!("{RUN_TAG}={}", self.run) });
            }
            return graph.delete_application(object_id).await.map_err(failed);
        }
        for found in graph.applications(crate::azure::NamedBy::Whole(name)).await.map_err(failed)? {
            let created: Option<jiff::Timestamp> = found["createdDateTime"].as_str().and_then(|time| time.parse().ok());
            let after = entry.written.zip(created).is_some_and(|(written, created)| {
                // The directory's time has whole seconds.
                created.as_second() >= written.as_second()
            });
            if let Some(object_id) = found["id"].as_str().filter(|_| after && graph.is_marked(&found, self.run, made)) {
                graph.delete_application(object_id).await.map_err(failed)?;
            }
        }
        Ok(())
    }
}
