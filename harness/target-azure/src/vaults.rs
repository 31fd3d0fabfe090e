//! Names of vaults, which are globally unique, and soft-deleted vaults, which keep theirs.

use serde_json::{Value, json};
use wi_engine::{RUN_TAG, Reader, Unreadable};

/// Version of the interface.
const VAULTS: &str = "2026-02-01";
/// How many names are tried. A run tries as many for each of its vaults.
const NAMES: u32 = 20;

/// Why no name is available; `None` if one is.
///
/// # Errors
/// It cannot be asked.
pub(super) async fn no_name(reader: &Reader, subscription: &str) -> Result<Option<String>, Unreadable> {
    let path = format!("/subscriptions/{subscription}/providers/Microsoft.KeyVault/checkNameAvailability");
    let mut why = String::new();
    for _ in 0..NAMES {
        let name = wi_engine::vault_name(&uuid::Uuid::new_v4().to_string());
        let body = json!({ "name": name, "type": "Microsoft.KeyVault/vaults" });
        let answer = reader.post_to_read(&path, VAULTS, Some(&body)).await?;
        if answer["nameAvailable"] == true {
            return Ok(None);
        }
        why = format!("{}: {}", text(&answer["reason"]), text(&answer["message"]));
    }
    Ok(Some(format!(
        "no available Key Vault name after {NAMES} attempts; a subscription policy may forbid Key Vault: `az policy assignment list --scope /subscriptions/{subscription}` ({why})"
    )))
}

/// How many vaults of earlier runs are soft-deleted.
///
/// # Errors
/// It cannot be asked.
pub(super) async fn deleted(reader: &Reader, subscription: &str) -> Result<usize, Unreadable> {
    let path = format!("/subscriptions/{subscription}/providers/Microsoft.KeyVault/deletedVaults");
    let answer = reader.get(&path, VAULTS).await?;
    let vaults = answer["value"].as_array().into_iter().flatten();
    Ok(vaults.filter(|vault| !vault["properties"]["tags"][RUN_TAG].is_null()).count())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("no reason")
}
