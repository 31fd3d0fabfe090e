//! Drives one planned case on a cluster and an Azure that it knows only as addresses, trust roots, a credential and
//! capabilities.
//!
//! The order of stages is in the one function of `case.rs`. A difference between targets that is not an address, a certificate
//! or a credential is a capability; nothing here asks where it is.

mod act;
mod admissions;
mod azure;
mod bindings;
mod case;
mod cluster;
mod evidence;
mod existing;
mod hold;
pub mod kubernetes;
mod lease;
mod ledger;
mod leftovers;
mod observe;
mod presence;
pub mod production_check;
mod provision;
mod reader;
pub mod readiness;
mod session;
mod settle;
mod state_folder;
mod sweep;
pub mod target_file;
mod undo;
mod watch;
mod webhook;
pub mod webhook_release;

pub use azure::RUN_TAG;
pub use bindings::vault_name;
pub use case::{CaseOptions, Event};
pub use cluster::sentence;
pub use hold::Hold;
pub use ledger::{Ledger, LedgerError};
pub use leftovers::{Found, Leftover, Search};
pub use presence::{There, there_already};
pub use provision::{RUN_LABEL, label};
pub use reader::{Reader, SignedIn, Unreadable};
pub use session::{Session, SessionError};
pub use state_folder::environments;
pub use sweep::{SweepReport, sweep};
pub use undo::{Kept, Left};
pub use webhook::WEBHOOK;
