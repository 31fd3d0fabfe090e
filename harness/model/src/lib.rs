//! The domain types: scenarios, plans, evidence and verdicts, as pure data.
//!
//! Nothing here performs input or output, knows a clock, or waits. [`parse`] turns a file into a [`scenario::Scenario`],
//! [`plan::decide`] compares what a scenario needs with a target's capabilities, and [`judge::judge`] compares an expectation
//! with the [`evidence::PodEvidence`] that was observed and returns a [`verdict::Judgement`].

pub mod capability;
pub mod catalogue;
mod document;
pub mod evidence;
pub mod images;
pub mod injection;
pub mod judge;
pub mod located;
pub mod manifest;
pub mod mutant;
pub mod mutation;
pub mod named;
pub mod parse;
pub mod path;
pub mod plan;
pub mod product;
pub mod profile;
pub mod record;
pub mod redact;
pub mod register;
pub mod sabotage;
pub mod scenario;
pub mod schema;
pub mod secret;
pub mod target;
pub mod template;
pub mod texts;
pub mod variation;
pub mod verdict;
pub mod webhook_log;
