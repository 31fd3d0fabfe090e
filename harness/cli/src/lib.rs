//! An end-to-end conformance test harness for Azure Workload Identity on Kubernetes.
//!
//! As a program it runs scenario files; see `wi-conformance --help`. As a library it gives another project
//!
//! - its own conformance suite under `cargo test`: [`Conformance`], from a test with `harness = false`;
//! - an embedded cluster with an emulated Azure from Rust, as one would start a container: [`Environment`].
//!
//! Pods are processes made from the running executable, so a program that starts an environment calls [`entry()`] first
//! thing in `main`. [`Conformance::main`] does so itself.

mod aks;
mod args;
mod certificate;
mod commands;
mod conformance;
mod console;
mod coverage;
mod defects;
mod entry;
mod environment;
mod exit;
mod go_program;
mod images;
mod init;
mod input;
mod kubernetes;
mod patience;
mod place;
mod pool;
mod progress;
mod proxy;
mod publish;
mod readiness;
mod real_cluster;
mod release;
mod reports;
mod run;
mod sabotage;
mod scenarios;
mod selection;
mod shard;
mod signal;
mod stand_ins;
mod standing;
mod sweep;
mod targets;
mod turns;

pub use commands::main;
pub use conformance::Conformance;
pub use entry::entry;
pub use environment::{Environment, EnvironmentError, NotReady, Options, Profile, Program, Webhook, preflight};
pub use exit::Exit;
