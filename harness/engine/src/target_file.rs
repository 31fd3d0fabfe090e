//! A target that is named by a file: a kubeconfig, or a few lines that name one.

use std::path::Path;

use wi_model::parse::InvalidScenario;
use wi_model::target::file::TargetFile;
use wi_serve::input;

/// The cluster that a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedCluster {
    /// The kubeconfig's text.
    pub kubeconfig: String,
    /// The context; the current one when `None`.
    pub context: Option<String>,
    /// Whether cases may change objects that were there before, where they say so.
    pub existing_objects: bool,
}

/// What a file named.
#[derive(Debug, Clone)]
pub enum Named {
    /// A cluster alone; an Azure is started for the run.
    Cluster(NamedCluster),
    /// A cluster and an Azure that are there.
    Everything(Box<TargetFile>),
}

/// Reads a target file, or a kubeconfig in its place.
///
/// # Errors
/// Where it is wrong, with line and column, in one line.
pub fn read(path: &Path, context: Option<&str>) -> Result<Named, String> {
    let text = text(path)?;
    let fault = |error: serde_saphyr::Error| {
        let told = InvalidScenario::yaml(&path.display().to_string(), &error);
        format!("{told}; expected a kubeconfig, or `kubeconfig: FILE` and `context: NAME`")
    };
    let value: serde_json::Value = serde_saphyr::from_str(&text).map_err(fault)?;
    if value["kind"] == "Config" {
        let context = context.map(str::to_owned);
        return Ok(Named::Cluster(NamedCluster { kubeconfig: text, context, existing_objects: false }));
    }
    let file = wi_model::target::file::read(&path.display().to_string(), text.as_bytes())
        .map_err(|fault| format!("{fault}; `wi-conformance schema target` prints the schema of a target file"))?;
    if file.azure.is_some() {
        return Ok(Named::Everything(Box::new(file)));
    }
    let kubeconfig = file.kubeconfig.as_ref().map_or("", |path| path.value.as_str());
    let kubeconfig = path.parent().unwrap_or(Path::new(".")).join(kubeconfig);
    let context = context.map(str::to_owned).or(file.context);
    let existing_objects = file.existing_objects;
    Ok(Named::Cluster(NamedCluster { kubeconfig: self::text(&kubeconfig)?, context, existing_objects }))
}

fn text(path: &Path) -> Result<String, String> {
    input::read_text(path, input::DOCUMENT).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_and_a_file_that_names_one_are_the_same_target() {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = "apiVersion: v1\nkind: Config\n";
        std::fs::write(folder.path().join("k"), kubeconfig).unwrap();
        std::fs::write(folder.path().join("t.yaml"), "kubeconfig: k\ncontext: dev\n").unwrap();
        let cluster = |name: &str, context| match read(&folder.path().join(name), context).unwrap() {
            Named::Cluster(cluster) => cluster,
            other => panic!("{other:?}"),
        };
        let direct = cluster("k", Some("dev"));
        assert_eq!(direct, cluster("t.yaml", None));
        assert_eq!(
            direct,
            NamedCluster { kubeconfig: kubeconfig.into(), context: Some("dev".into()), existing_objects: false }
        );
    }

    #[test]
    fn an_unknown_word_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.yaml");
        std::fs::write(&path, "kubeconfig: k\ncontxt: dev\n").unwrap();
        let error = read(&path, None).unwrap_err();
        assert!(error.contains("t.yaml:2:1: ") && error.contains("contxt"), "{error}");
        let missing = read(Path::new("/nowhere/t.yaml"), None).unwrap_err();
        assert!(missing.starts_with("/nowhere/t.yaml: "), "{missing}");
    }
}
