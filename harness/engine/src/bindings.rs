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

    /// Ends the names of what is the case's own, beside what is other cases'.
    pub(crate) fn suffix(&self) -> &str {
        &self.hash[..10]
    }

    /// An identity in the run's resource group, where the scenario names none.
    pub(crate) fn identity(&self, handle: &str) -> String {
        format!("{handle}-{}", self.suffix())
    }

    /// A Service that leads nowhere.
    pub(crate) fn service(&self) -> String {
        format!("wi-nobody-{}", &self.hash[..10])
    }

    /// A vault: unique in the world, 3 to 24 letters, digits and hyphens, a letter first. Where a name is taken, the next
    /// attempt has another.
    pub(crate) fn vault(&self, handle: &str, attempt: u32) -> String {
        let salt = if attempt == 0 { String::new() } else { format!("\n{attempt}") };
        vault_name(&format!("{}\n{handle}{salt}", self.hash))
    }

    /// An application's display name.
    pub(crate) fn application(&self, prefix: &str, handle: &str) -> String {
        format!("{prefix}-{}-{handle}", self.suffix())
    }
}

/// A name for a vault, made of what tells it from every other: of the same shape as those that runs give.
pub fn vault_name(of: &str) -> String {
    format!("wi{}", &sha256_hex(of.as_bytes())[..18])
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
        assert_ne!(names.vault("x", 0), names.vault("y", 0));
        assert_ne!(names.vault("x", 0), names.vault("x", 1));
        let vault = names.vault("x", 0);
        assert!(vault.len() <= 24 && vault.starts_with("wi") && vault.chars().all(|c| c.is_ascii_alphanumeric()));
    }
}
