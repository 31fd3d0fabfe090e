//! Where a suite comes from: a folder, or this program, which holds the suite that it was built with.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use wi_model::catalogue;
use wi_model::parse::{self, InvalidScenario};
use wi_serve::input;

/// The files of the suite in this program, by their paths below its folder.
const BUILT_IN: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/suite.rs"));
/// How the files of that suite are called.
const BUILT_IN_FOLDER: &str = "scenarios";

/// Where a suite comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder.
    Folder(PathBuf),
    /// This program.
    BuiltIn,
}

impl Source {
    fn folder(&self) -> &Path {
        match self {
            Source::Folder(folder) => folder,
            Source::BuiltIn => Path::new(BUILT_IN_FOLDER),
        }
    }

    /// A file at the top.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub(super) fn has(&self, path: &Path) -> bool {
        match self {
            Source::Folder(_) => path.exists(),
            Source::BuiltIn => built_in(path).is_some(),
        }
    }

    /// The bytes of a file.
    pub(super) fn read(&self, path: &Path) -> Result<Vec<u8>, InvalidScenario> {
        let shown = path.display().to_string();
        match self {
            Source::Folder(_) => {
                input::read(path, parse::MAX_BYTES as u64).map_err(|error| catalogue::unreadable(&shown, error))
            }
            Source::BuiltIn => {
                let found = built_in(path).map(<[u8]>::to_vec);
                found.ok_or_else(|| catalogue::unreadable(&shown, "the built-in suite has no such file"))
            }
        }
    }

    /// Folder and stem, with `/` on every system.
    pub(super) fn id(&self, path: &Path) -> String {
        let relative = path.strip_prefix(self.folder()).unwrap_or(path).with_extension("");
        relative.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
    }

    /// Whether a file stands beside the catalogue and not in a folder below.
    pub(super) fn is_at_the_top(&self, path: &Path) -> bool {
        path.parent() == Some(self.folder())
    }

    /// A program that `suite.yaml` names: a path is relative to it.
    pub(super) fn program(&self, named: &str) -> String {
        if wi_images::resolve(named).is_some() {
            return named.to_owned();
        }
        self.folder().join(named).display().to_string()
    }

    /// Files that may be scenarios, in order. Folders called `manifests` hold manifests, and hidden ones belong to another user.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>, InvalidScenario> {
        let shown = self.folder().display().to_string();
        match self {
            Source::Folder(folder) => {
                if !folder.is_dir() {
                    let advice = "no such folder; name the folder of scenarios with --scenarios";
                    return Err(catalogue::unreadable(&shown, advice));
                }
                let mut files = Vec::new();
                below(folder, &mut Vec::new(), &mut files).map_err(|error| catalogue::unreadable(&shown, error))?;
                Ok(files)
            }
            Source::BuiltIn => {
                let names: BTreeSet<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
                let inside = |name: &&str| !Path::new(name).components().any(|part| part.as_os_str() == "manifests");
                let paths = names.into_iter().filter(inside).map(|name| self.folder().join(name));
                Ok(paths.filter(|path| is_yaml(path)).collect())
            }
        }
    }
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// A link to a folder is followed, unless it leads to one that it lies in.
fn below(folder: &Path, above: &mut Vec<PathBuf>, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let real = folder.canonicalize()?;
    if above.contains(&real) {
        let what = format!("{} is a link to one of its parent folders; remove the link", folder.display());
        return Err(std::io::Error::other(what));
    }
    above.push(real);
    let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "manifests" && !name.to_string_lossy().starts_with('.') {
                below(&path, above, files)?;
            }
        } else if is_yaml(&path) {
            files.push(path);
        }
    }
    above.pop();
    Ok(())
}

/// A file of the suite in this program.
fn built_in(path: &Path) -> Option<&'static [u8]> {
    let mut parts: Vec<String> = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = parts.pop()?,
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    let name = parts.join("/");
    let name = name.strip_prefix(BUILT_IN_FOLDER)?.strip_prefix('/')?;
    BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_in_the_program_is_the_one_of_the_repository() {
        let folder = Source::Folder(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios"));
        let ids = |source: &Source| source.files().unwrap().iter().map(|file| source.id(file)).collect::<BTreeSet<_>>();
        assert_eq!(ids(&Source::BuiltIn), ids(&folder));
        let path = Path::new("scenarios/quickstart/../requirements.yaml");
        assert_eq!(Source::BuiltIn.read(path).unwrap(), folder.read(&folder.at("requirements.yaml")).unwrap());
        assert!(built_in(Path::new("scenarios/../../etc/passwd")).is_none());
    }
}
