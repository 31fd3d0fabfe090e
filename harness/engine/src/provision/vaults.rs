//! Vaults with their rights and secrets.

use wi_model::evidence::Facts;
use wi_model::plan::Case;
use wi_model::scenario::{AccessModel, RoleScope, Scenario, Vault};
use wi_model::secret::Secret;
use wi_model::template::Bindings;

use super::Ground;
use crate::azure::{AzureError, Policy, RUN_TAG, Scope};
use crate::bindings::Names;
use crate::cluster::sentence;
use crate::lease::Lease;
use crate::ledger::Owned;

/// How many names are tried for a vault.
const NAMES: u32 = 20;

impl Ground<'_> {
    pub(super) async fn vaults(
        &self,
        case: &Case,
        names: &Names,
        bindings: &mut Bindings,
        facts: &mut Facts,
        lease: &mut Lease,
    ) -> Result<(), String> {
        let azure = &case.scenario.given.azure;
        if azure.vaults.is_empty() {
            return Ok(());
        }
        let own = self.azure.own_object_id().await.map_err(|error| error.to_string())?;
        let group = self.group.made(self).await?;
        for (handle, vault) in &azure.vaults {
            let secrets = vec!["get", "list", "set", "delete"];
            let mut policies = vec![Policy { object_id: own.clone(), secrets, ..Policy::default() }];
            for policy in &vault.access {
                let principal = facts
                    .principals
                    .get(&policy.to.value)
                    .ok_or_else(|| format!("no principal {}", policy.to.value))?;
                let secrets = policy.secrets.iter().map(|right| right.word()).collect();
                let keys = policy.keys.iter().map(|right| right.word()).collect();
                let certificates = policy.certificates.iter().map(|right| right.word()).collect();
                policies.push(Policy { object_id: principal.principal_id.clone(), secrets, keys, certificates });
            }
            let by_roles = match vault.access_model {
                AccessModel::Policies => Some(false),
                AccessModel::Roles => Some(true),
                AccessModel::Unstated => None,
            };
            let wanted = vault.name.as_ref().map(|name| name.value.as_str());
            let made = self.vault(&group, (handle, wanted), names, (by_roles, &policies), lease).await?;
            // As pods of the case's cloud know it; we ourselves are in the target's.
            let url = self.azure.vault_in(&made.url, &facts.vault_domain);
            let name = made.name;
            let arm = self.azure.arm();
            if made.by_roles {
                arm.make_secrets_officer(&group, &name, &own).await.map_err(|error| error.to_string())?;
            }
            for user in &vault.secrets_user {
                let principal =
                    facts.principals.get(&user.value).ok_or_else(|| format!("no principal {}", user.value))?;
                let assigned = arm.make_secrets_user(&group, &name, &principal.principal_id).await;
                assigned.map_err(|error| error.to_string())?;
            }
            self.roles(vault, (&group, &name), facts, lease).await?;
            bindings.insert(format!("{handle}.group"), group.clone());
            bindings.insert(format!("{handle}.url"), url.clone());
            bindings.insert(format!("{handle}.name"), name);
            facts.vaults.insert(handle.clone(), url);
        }
        Ok(())
    }

    /// Gives the roles that a vault names. One that reaches beyond the vault does not go with it, so it is written down.
    async fn roles(
        &self,
        vault: &Vault,
        (group, name): (&str, &str),
        facts: &Facts,
        lease: &mut Lease,
    ) -> Result<(), String> {
        let arm = self.azure.arm();
        for assignment in vault.roles.iter().map(|assignment| &assignment.value) {
            let principal = facts.principals.get(&assignment.to.value);
            let principal = principal.ok_or_else(|| format!("no principal {}", assignment.to.value))?;
            let role = arm.role_named(&assignment.role.value).await.map_err(|error| error.to_string())?;
            let role = role.ok_or_else(|| {
                format!(
                    "Azure knows no role `{}`; `az role definition list --query '[].roleName'` shows their names",
                    assignment.role.value
                )
            })?;
            let scope = match assignment.at {
                RoleScope::Vault => Scope::Vault { group, vault: name },
                RoleScope::Group => Scope::Group(group),
                RoleScope::Subscription => Scope::Subscription,
            };
            let to = arm.assignment(&scope, &principal.principal_id, &role);
            let stays = assignment.at != RoleScope::Vault;
            if stays {
                let owned = Owned::RoleAssignment { path: to.path.clone(), principal: to.principal.clone() };
                lease.take(owned).map_err(|error| sentence(&error))?;
            }
            arm.assign(&to).await.map_err(|error| error.to_string())?;
            if stays {
                lease.made(&to.principal).map_err(|error| sentence(&error))?;
            }
        }
        Ok(())
    }

    /// Makes a vault. A name that is taken in the world is given up for another; one of a vault of this run's that was
    /// deleted is freed first.
    async fn vault(
        &self,
        group: &str,
        (handle, wanted): (&str, Option<&str>),
        names: &Names,
        (by_roles, policies): (Option<bool>, &[Policy]),
        lease: &mut Lease,
    ) -> Result<Made, String> {
        let location = self.azure.target().location.clone();
        let arm = self.azure.arm();
        for attempt in 0..=NAMES {
            let name = wanted.map_or_else(|| names.vault(handle, attempt), str::to_owned);
            let made = jiff::Timestamp::now().to_string();
            let (owned_group, location, stamp) = (group.to_owned(), location.clone(), Some(made.clone()));
            let owned =
                Owned::Vault { group: owned_group, name: name.clone(), location: location.clone(), made: stamp };
            lease.take(owned).map_err(|error| sentence(&error))?;
            let make = || arm.make_vault((group, &name), by_roles, policies, self.run_id, &made);
            let outcome = match make().await {
                Err(error) if taken(&error) && self.is_our_deleted_vault(&location, &name).await? => {
                    arm.purge_vault(&location, &name).await.map_err(|error| error.to_string())?;
                    make().await
                }
                outcome => outcome,
            };
            match outcome {
                Ok(Some(vault)) => {
                    lease.made(&vault.identity).map_err(|error| sentence(&error))?;
                    let confirmed = arm.confirm_vault(group, &name, &made).await;
                    confirmed.map_err(|error| error.to_string())?;
                    return Ok(Made { name, url: vault.url, by_roles: vault.by_roles });
                }
                Err(error) if !taken(&error) => return Err(error.to_string()),
                Ok(None) | Err(_) if wanted.is_some() => {
                    lease.forget().map_err(|error| sentence(&error))?;
                    return Err(format!("vault {handle}: the name {name} belongs to another user"));
                }
                Ok(None) | Err(_) => {
                    lease.forget().map_err(|error| sentence(&error))?;
                    self.azure
                        .waited(format!("the vault name {name} belongs to another user, so another name is used"));
                }
            }
        }
        Err(format!("no available name for vault {handle} after {} attempts", NAMES + 1))
    }

    /// Whether a vault of this name is soft-deleted and belongs to this run, so that it may be purged.
    async fn is_our_deleted_vault(&self, location: &str, name: &str) -> Result<bool, String> {
        let found = self.azure.arm().find_deleted_vault(location, name).await.map_err(|error| error.to_string())?;
        Ok(found.is_some_and(|vault| vault["properties"]["tags"][RUN_TAG] == self.run_id))
    }

    pub(super) async fn secrets(&self, scenario: &Scenario, facts: &mut Facts) -> Result<Vec<Secret>, String> {
        let mut all = Vec::new();
        for (handle, vault) in &scenario.given.azure.vaults {
            let url = self.azure.own_vault(facts.vaults.get(handle).map_or("", String::as_str));
            for (name, value) in &vault.secrets {
                let wanted = Secret::new(value.value().value.clone());
                facts.secret_sha256.insert((handle.clone(), name.clone()), wanted.sha256());
                let decoy = || Secret::new(format!("{}-decoy", value.value().value));
                let stored = if vault.decoy { decoy() } else { wanted.clone() };
                self.azure.vault(&url).set(name, &stored).await.map_err(|error| error.to_string())?;
                if !value.enabled() {
                    self.azure.vault(&url).disable(name).await.map_err(|error| error.to_string())?;
                }
                if value.deleted() {
                    self.azure.vault(&url).delete(name).await.map_err(|error| error.to_string())?;
                }
                all.extend([wanted, stored]);
            }
        }
        Ok(all)
    }
}

/// A vault that was made.
struct Made {
    name: String,
    url: String,
    /// Whether it heeds role assignments.
    by_roles: bool,
}

/// Whether a vault's name is taken, by a vault or by a soft-deleted one.
fn taken(error: &AzureError) -> bool {
    error.status() == Some(409) && matches!(error.code(), Some("VaultAlreadyExists" | "ConflictError" | "Conflict"))
}
