//! What a run does, and whether we may.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, PostParams};
use serde_json::Value;

/// What a run asks of Resource Manager.
const ACTIONS: [&str; 8] = [
    "Microsoft.Resources/subscriptions/resourceGroups/write",
    "Microsoft.Resources/subscriptions/resourceGroups/delete",
    "Microsoft.ManagedIdentity/userAssignedIdentities/write",
    "Microsoft.ManagedIdentity/userAssignedIdentities/delete",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
    "Microsoft.KeyVault/vaults/write",
    "Microsoft.KeyVault/vaults/delete",
    "Microsoft.KeyVault/locations/deletedVaults/purge/action",
];

/// What a run asks of the cluster: verb, group, resource, subresource.
const VERBS: [(&str, &str, &str, &str); 9] = [
    ("create", "", "namespaces", ""),
    ("delete", "", "namespaces", ""),
    ("create", "", "pods", ""),
    ("get", "", "pods", "log"),
    ("create", "", "serviceaccounts", ""),
    ("create", "", "serviceaccounts", "token"),
    ("create", "", "configmaps", ""),
    ("list", "", "events", ""),
    ("list", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", ""),
];

/// The actions that a list of permissions does not give.
pub(super) fn missing_actions(permissions: &Value) -> Vec<&'static str> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
    };
    let entries: Vec<(Vec<String>, Vec<String>)> = permissions["value"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| (texts(&entry["actions"]), texts(&entry["notActions"])))
        .collect();
    // What one role takes away, another may give: they are not subtracted from each other.
    let given = |action: &str| {
        entries.iter().any(|(actions, not)| {
            actions.iter().any(|pattern| matches(pattern, action))
                && !not.iter().any(|pattern| matches(pattern, action))
        })
    };
    ACTIONS.into_iter().filter(|action| !given(action)).collect()
}

/// Whether a pattern with `*` for any characters is an action's, without regard to case.
fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_lowercase(), action.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = action.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut open = false;
    for part in parts {
        open = true;
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || (open && pattern.ends_with('*'))
}

/// The requests that the cluster does not allow us, in words.
///
/// # Errors
/// It cannot be asked.
pub(super) async fn missing_verbs(client: &kube::Client) -> Result<Vec<String>, kube::Error> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let mut missing = Vec::new();
    for (verb, group, resource, sub) in VERBS {
        let attributes = ResourceAttributes {
            verb: Some(verb.to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: Some(sub.to_owned()).filter(|sub| !sub.is_empty()),
            ..ResourceAttributes::default()
        };
        let review: SelfSubjectAccessReview = serde_json::from_value(serde_json::json!({
            "metadata": {}, "spec": SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), non_resource_attributes: None },
        }))
        .map_err(kube::Error::SerdeError)?;
        let answer = serde_json::to_value(reviews.create(&PostParams::default(), &review).await?).unwrap_or_default();
        if answer["status"]["allowed"] != true {
            let of = if sub.is_empty() { resource.to_owned() } else { format!("{resource}/{sub}") };
            missing.push(format!("{verb} {of}"));
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_contributor_has_every_right_and_a_reader_has_none() {
        let contributor = json!({ "value": [{ "actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write"] }] });
        assert!(missing_actions(&contributor).is_empty());
        let reader = json!({ "value": [{ "actions": ["*/read"], "notActions": [] }] });
        assert_eq!(missing_actions(&reader), ACTIONS);
        assert_eq!(missing_actions(&json!({ "value": [] })), ACTIONS);
        let no_purge = json!({ "value": [{ "actions": ["*"], "notActions": ["Microsoft.KeyVault/locations/deletedVaults/purge/action"] }] });
        assert_eq!(missing_actions(&no_purge), [ACTIONS[7]]);
        let two = json!({ "value": [{ "actions": ["Microsoft.KeyVault/*"] }, { "actions": ["microsoft.resources/*", "Microsoft.ManagedIdentity/*/delete"] }] });
        assert_eq!(missing_actions(&two), [ACTIONS[2], ACTIONS[4]]);
    }
}
