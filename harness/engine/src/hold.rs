//! Waiting with a case that was judged, before what it made is removed.

use std::sync::Arc;

use futures::future::BoxFuture;
use wi_model::record::Record;

/// Waits with a case that was judged for as long as somebody looks at what it made.
#[derive(Clone)]
pub struct Hold(Arc<Wait>);

type Wait = dyn Fn(&Record, &str) -> BoxFuture<'static, ()> + Send + Sync;

impl Hold {
    pub(crate) fn wait(&self, record: &Record, namespace: &str) -> BoxFuture<'static, ()> {
        (self.0)(record, namespace)
    }

    /// Hears of each case's record and of its namespace.
    pub fn new(wait: impl Fn(&Record, &str) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        Hold(Arc::new(wait))
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hold")
    }
}
