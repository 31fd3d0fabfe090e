//! Why a vault did not hand a secret over, with the objects of the case.

use serde_json::Value;

use super::super::text;
use super::super::voice::Voice;
use super::client_id;
use crate::evidence::{Facts, RightKind};
use crate::scenario::AccessModel;
use crate::verdict::{Difference, Hop};

/// What keeps a caller who signed in from what he asks for.
const RIGHTS: [&str; 3] = ["AccessDenied", "ForbiddenByPolicy", "ForbiddenByRbac"];

/// The vault did not hand the secret over.
pub(super) fn not_read(voice: &Voice<'_>, facts: &Facts) -> Option<Difference> {
    let said = voice.document("secret-read")?;
    let given = voice.document("given").map_or(&Value::Null, |given| &given["env"]);
    let (url, secret) = (text(&given["KEYVAULT_URL"]), text(&given["SECRET_NAME"]));
    let same = |known: &str| known.trim_end_matches('/') == url.trim_end_matches('/');
    let handle = facts.vaults.iter().find(|(_, known)| same(known)).map(|(handle, _)| handle.as_str());
    let vault = handle.unwrap_or(url.as_str());
    let expected = format!("secret {secret} of vault {vault}");
    let at = |observed: String, mend: String| Some(Difference::at(Hop::Secret, &expected, observed).advise(mend));
    let container = voice.container;
    let inner = said["inner"].as_str();
    let status =
        format!("HTTP {} {}", text(&said["status"]), text(&inner.map_or_else(|| said["code"].clone(), Into::into)));
    match (said["outcome"].as_str()?, inner) {
        ("forbidden", Some("SecretDisabled")) => at(
            format!("{status}: secret {secret} of vault {vault} is disabled"),
            format!("enable secret {secret} of vault {vault}"),
        ),
        ("forbidden", Some(code)) if RIGHTS.contains(&code) => {
            let (observed, mend) = without_right(voice, facts, vault);
            at(format!("{status}: {observed}"), mend)
        }
        ("missing", _) => {
            let there: Vec<&str> =
                facts.secret_sha256.keys().filter(|(on, _)| on == vault).map(|(_, name)| name.as_str()).collect();
            at(
                format!("{status}: vault {vault} has no secret `{secret}`; it has {}", there.join(", ")),
                format!("set SECRET_NAME of container {container} to the name of a secret of vault {vault}"),
            )
        }
        ("failed", _) if said["kind"] == "configuration" => {
            let unset: Vec<&str> = ["KEYVAULT_URL", "SECRET_NAME"]
                .into_iter()
                .filter(|name| given[*name].as_str().is_none_or(str::is_empty))
                .collect();
            if unset.is_empty() {
                return None;
            }
            let names = unset.join(" and ");
            at(
                format!("container {container} has no {names}"),
                format!("set {names} of container {container}; {}", known(facts)),
            )
        }
        ("failed", _) if handle.is_none() => at(
            format!("{}: no vault of this case is at {url}", text(&said["kind"])),
            format!("set KEYVAULT_URL of container {container}; {}", known(facts)),
        ),
        _ => None,
    }
}

/// The vaults of the case, with their addresses.
fn known(facts: &Facts) -> String {
    let vaults: Vec<String> = facts.vaults.iter().map(|(handle, url)| format!("vault {handle} is at {url}")).collect();
    if vaults.is_empty() { "this case has no vault".to_owned() } else { vaults.join(", ") }
}

/// Who lacks which right, and what gives it.
fn without_right(voice: &Voice<'_>, facts: &Facts, vault: &str) -> (String, String) {
    let who = facts.with_client_id(&client_id(voice)).unwrap_or("the identity");
    let object = facts.principals.get(who);
    let object = object.map_or_else(String::new, |principal| format!(" (object {})", principal.principal_id));
    let by_roles = !matches!(facts.access_models.get(vault), None | Some(AccessModel::Policies));
    let mend = if by_roles {
        format!("give {who}{object} the role Key Vault Secrets User on vault {vault}, which goes by roles")
    } else {
        format!("give {who}{object} the right `get` on secrets by an access policy of vault {vault}")
    };
    let own: Vec<&RightKind> = facts.rights_on(vault, who).collect();
    let counted = own.iter().copied().find(|kind| facts.heeds(vault, kind));
    let observed = match (counted, own.first().copied()) {
        (Some(RightKind::Policy(words)), _) => {
            format!("the access policy of vault {vault} gives {who}{object} {} and not get", words.join(", "))
        }
        (Some(RightKind::Role(role)), _) => {
            format!("role {role}, which {who}{object} has on vault {vault}, reads no secrets")
        }
        (None, Some(RightKind::Policy(_))) => {
            format!("vault {vault} goes by roles, and {who}{object} has an access policy alone, which does not count")
        }
        (None, Some(RightKind::Role(role))) => {
            format!(
                "vault {vault} goes by access policies, and {who}{object} has role {role} alone, which does not count"
            )
        }
        (None, None) => {
            let elsewhere = facts.rights.iter().find(|right| right.holder == who && right.vault != vault);
            if let Some(right) = elsewhere {
                let address = facts.vaults.get(&right.vault).map_or("", String::as_str);
                let observed = format!(
                    "{who}{object} has no right on vault {vault}, which the pod asks; it has one on {}",
                    right.vault
                );
                let set = format!("set KEYVAULT_URL of container {} to {address}, or {mend}", voice.container);
                return (observed, set);
            }
            let mut others: Vec<&str> =
                facts.rights.iter().filter(|right| right.vault == vault).map(|right| right.holder.as_str()).collect();
            others.dedup();
            let others =
                if others.is_empty() { "nobody else has".to_owned() } else { format!("{} has", others.join(", ")) };
            format!("{who}{object} has no right on vault {vault}; {others}")
        }
    };
    (observed, mend)
}
