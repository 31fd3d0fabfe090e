//! What `images` takes.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Clone, Args)]
pub(crate) struct ImagesArgs {
    /// Where the cluster pulls from, as `pods.registry` of the target file says it, such as
    /// `myregistry.azurecr.io/wi-conformance`.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) registry: String,
    /// The archive to write: an OCI layout that `docker load` takes.
    #[arg(long, value_name = "FILE", default_value = "images.tar", help_heading = "Output")]
    pub(crate) out: PathBuf,
    /// A Linux build of this program for the nodes' processor, statically linked; needed where this one is none.
    #[arg(long, value_name = "FILE", env = "WI_CONFORMANCE_IMAGE_PROGRAM")]
    pub(crate) image_program: Option<PathBuf>,
}
