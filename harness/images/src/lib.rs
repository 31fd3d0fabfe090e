//! The images that pods use: their names, the program behind each, archives of them for nodes and registries, and what the
//! file of another user's program tells.

pub mod archive;
pub mod go_program;
mod names;
pub mod proxy;

pub use names::{BuiltIn, all, in_registry, named, ours, registry, resolve};
pub use wi_model::images::repository;
