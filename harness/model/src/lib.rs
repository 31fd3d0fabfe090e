//! The words of the domain: scenarios, plans, evidence and verdicts, as pure data.
