//! Who hears how a run goes while it goes.

use wi_model::record::Record;

/// Hears how a run goes.
pub trait Progress: Sync {
    /// What is done before the first case, or after the last.
    fn preparing(&self, what: &str);
    /// Everything is ready for cases.
    fn prepared(&self);
    /// A case has come to a stage.
    fn stage(&self, id: &str, what: &str);
    /// A case has come to its end.
    fn ended(&self, record: &Record);
    /// Nothing more will come.
    fn finish(&self);
}
