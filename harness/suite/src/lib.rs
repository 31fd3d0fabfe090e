//! An end-to-end conformance test harness for Azure Workload Identity on Kubernetes.
//!
//! The program `wi-conformance` runs scenario files. This library gives another project
//!
//! - its own conformance suite under `cargo test`: [`Conformance`], from a test with `harness = false`;
//! - an embedded cluster with an emulated Azure from Rust, as one would start a container: [`Environment`].
//!
//! Pods are processes made from the running executable, so a program that starts an environment calls [`entry()`] first
//! thing in `main`. [`Conformance::main`] does so itself.

mod conformance;
mod exit;
mod pause;

// What the program is made of; no part of the interface that users may rely on.
#[doc(hidden)]
pub mod console;
#[doc(hidden)]
pub mod mutant_matrix;
#[doc(hidden)]
pub mod mutants;
#[doc(hidden)]
pub mod progress;
#[doc(hidden)]
pub mod reports;
#[doc(hidden)]
pub mod rerun;
#[doc(hidden)]
pub mod run;
#[doc(hidden)]
pub mod scenarios;
#[doc(hidden)]
pub mod selection;
#[doc(hidden)]
pub mod shard;
#[doc(hidden)]
pub mod stand_ins;
#[doc(hidden)]
pub mod sweep;
#[doc(hidden)]
pub mod target_pool;
#[doc(hidden)]
pub mod target_spec;
mod turns;

pub use conformance::Conformance;
pub use exit::Exit;
#[doc(hidden)]
pub use exit::Stop;
pub use wi_target_embedded::{
    Environment, EnvironmentError, NotReady, Options, Profile, Program, Webhook, entry, preflight,
};
