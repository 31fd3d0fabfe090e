//! The embedded target: a Kubernetes API, a node for processes, an emulated Azure and a webhook, all in one process.

mod entry;
mod environment;
mod manager;

pub use entry::{MARKER, entry, exit_code, exit_code_of_proxy};
pub use environment::{
    Environment, EnvironmentError, Identified, Options, Program, Webhook, capabilities, offer, preflight,
};
pub use manager::reference_webhook;
pub use wi_embedded_cluster::serves;
pub use wi_engine::readiness::NotReady;
pub use wi_model::profile::Profile;
