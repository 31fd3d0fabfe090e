//! The layout of the state folder.

use std::path::{Path, PathBuf};

/// Where environments keep their folders, so that `sweep` finds what a killed process left.
pub fn environments(state_dir: &Path) -> PathBuf {
    state_dir.join("environments")
}
