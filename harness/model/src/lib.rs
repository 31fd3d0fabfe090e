//! The words of the domain: scenarios, plans, evidence and verdicts, as pure data.
//!
//! Nothing here performs input or output, knows a clock, or waits. A scenario file becomes a [`scenario::Scenario`]
//! ([`parse`]), scenarios and a target's capabilities become a [`plan::Plan`], and an expectation beside the
//! [`evidence::Evidence`] that was observed becomes a [`verdict::Judgement`].

pub mod capability;
pub mod catalogue;
pub mod evidence;
pub mod injection;
pub mod judge;
pub mod located;
pub mod manifest;
pub mod mutation;
pub mod parse;
pub mod path;
pub mod plan;
pub mod record;
pub mod redact;
pub mod sabotage;
pub mod scenario;
pub mod schema;
pub mod secret;
pub mod target;
pub mod template;
pub mod texts;
pub mod verdict;
