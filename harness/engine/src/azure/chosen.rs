//! Ids that a scenario states, which Azure makes up otherwise. An Azure that can be told them reads them from tags of what is
//! made; any other keeps the tags and gives ids of its own, which is found out at once.

use serde_json::{Value, json};
use wi_model::evidence::Principal;
use wi_model::located::Text;

/// Tags that state ids.
const CLIENT_ID_TAG: &str = "wi-conformance-client-id";
const PRINCIPAL_ID_TAG: &str = "wi-conformance-principal-id";

/// The ids that are wanted of one identity or service principal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chosen {
    client_id: Option<String>,
    principal_id: Option<String>,
}

impl Chosen {
    pub(crate) fn of(client_id: Option<&Text>, principal_id: Option<&Text>) -> Self {
        // Azure shows ids in lower case.
        let text = |id: &Text| id.value.to_lowercase();
        Chosen { client_id: client_id.map(text), principal_id: principal_id.map(text) }
    }

    /// As tags of a resource.
    pub(super) fn tags(&self) -> serde_json::Map<String, Value> {
        let tags = [(CLIENT_ID_TAG, &self.client_id), (PRINCIPAL_ID_TAG, &self.principal_id)];
        tags.into_iter().filter_map(|(tag, id)| Some((tag.to_owned(), json!(id.as_ref()?)))).collect()
    }

    /// As the list of tags of an object of the directory.
    pub(super) fn list(&self) -> Vec<String> {
        self.tags().into_iter().map(|(tag, id)| format!("{tag}:{}", id.as_str().unwrap_or_default())).collect()
    }

    /// Compares with what was given.
    ///
    /// # Errors
    /// Another id was given.
    pub(crate) fn check(&self, handle: &str, given: &Principal) -> Result<(), String> {
        for (what, wanted, given) in [
            ("client id", &self.client_id, &given.client_id),
            ("principal id", &self.principal_id, &given.principal_id),
        ] {
            if let Some(wanted) = wanted.as_ref().filter(|wanted| !wanted.eq_ignore_ascii_case(given)) {
                return Err(format!(
                    "{handle}: the scenario requires the {what} {wanted}, but this Azure assigned {given}"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_azure_that_gives_another_id_than_was_stated_is_found_out() {
        let chosen = Chosen::of(Some(&"AA".into()), None);
        assert_eq!(chosen.list(), ["wi-conformance-client-id:aa"]);
        let given = |id: &str| Principal { client_id: id.into(), principal_id: "p".into() };
        assert_eq!(chosen.check("web", &given("aa")), Ok(()));
        let told = chosen.check("web", &given("bb")).unwrap_err();
        assert_eq!(told, "web: the scenario requires the client id aa, but this Azure assigned bb");
    }
}
