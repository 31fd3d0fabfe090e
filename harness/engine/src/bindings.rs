//! What the names in a scenario stand for in this run, and the names that things get.

use wi_model::located::Text;
use wi_model::parse;
use wi_model::scenario::Scenario;
use wi_model::secret::sha256_hex;
use wi_model::template::{self, Bindings, UnknownName};
use wi_model::texts::Texts;

/// Names that no other case and no other run has.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    hash: String,
}

impl Names {
    pub(crate) fn new(run_id: &str, case_id: &str) -> Self {
        Names { hash: sha256_hex(format!("{run_id}\n{case_id}").as_bytes()) }
    }

    /// The case's own namespace, where the scenario names none.
    pub(crate) fn namespace(&self) -> String {
        format!("wi-{}", &self.hash[..10])
    }

    /// The case's own resource group.
    pub(crate) fn group(&self) -> String {
        format!("wi-conformance-{}", &self.hash[..10])
    }

    /// The case's own resource group, or another one that is its own too.
    pub(crate) fn group_of(&self, other: bool) -> String {
        if other { format!("{}-other", self.group()) } else { self.group() }
    }

    /// A Service that leads nowhere.
    pub(crate) fn service(&self) -> String {
        format!("wi-nobody-{}", &self.hash[..10])
    }

    /// A vault: unique in the world, 3 to 24 letters, digits and hyphens, a letter first.
    pub(crate) fn vault(&self, handle: &str) -> String {
        format!("wi{}", &sha256_hex(format!("{}\n{handle}", self.hash).as_bytes())[..18])
    }

    /// An application's display name.
    pub(crate) fn application(&self, handle: &str) -> String {
        format!("wi-conformance-{}-{handle}", &self.hash[..10])
    }
}

/// Puts values in the place of every `{{ }}` of a scenario whose names are bound.
///
/// # Errors
/// The first name that is not.
pub(crate) fn resolve(scenario: &Scenario, bindings: &Bindings) -> Result<Scenario, UnknownName> {
    let mut resolved = scenario.clone();
    resolved.each_text(&mut |text: &mut Text| {
        text.value = template::fill(&text.value, bindings)?;
        Ok::<(), UnknownName>(())
    })?;
    for manifests in parse::manifests_mut(&mut resolved) {
        let values: Bindings =
            manifests.values.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect();
        for loaded in &mut manifests.loaded {
            template::each_string(&mut loaded.object, &mut |text: &str| {
                Ok::<_, UnknownName>(template::substitute_variables(text, &values))
            })?;
        }
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_and_differ_between_cases_and_runs() {
        let names = Names::new("r1", "a/b");
        assert_ne!(names.namespace(), Names::new("r2", "a/b").namespace());
        assert_ne!(names.namespace(), Names::new("r1", "a/c").namespace());
        assert_ne!(names.vault("x"), names.vault("y"));
        let vault = names.vault("x");
        assert!(vault.len() <= 24 && vault.starts_with("wi") && vault.chars().all(|c| c.is_ascii_alphanumeric()));
    }
}
