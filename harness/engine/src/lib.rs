//! Drives one planned case on a cluster and an Azure that it knows only as addresses, trust roots, a credential and capabilities.
