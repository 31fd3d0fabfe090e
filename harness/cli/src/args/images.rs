//! What `images` takes.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Clone, Args)]
pub(crate) struct ImagesArgs {
    /// The registry prefix that the cluster pulls from, as in `pods.registry` of the target file, such as
    /// `myregistry.azurecr.io/wi-conformance`.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) registry: String,
    /// The archive to write: an OCI layout for `docker load`.
    #[arg(long, value_name = "FILE", default_value = "images.tar", help_heading = "Output")]
    pub(crate) out: PathBuf,
    /// A statically linked Linux build of this program for the nodes' architecture; required on non-Linux hosts.
    #[arg(long, value_name = "FILE", env = "WI_CONFORMANCE_IMAGE_PROGRAM")]
    pub(crate) image_program: Option<PathBuf>,
}
