//! Logs of webhooks that run in this process, as their pods' own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use wi_embedded_cluster::MirroredLogs;
use wi_reference_webhook::Log;

/// How much of a log is kept, in bytes: more than any case brings about.
const KEPT: usize = 8 * 1024 * 1024;

/// The logs by pod.
#[derive(Clone, Default)]
pub(super) struct Logs(Arc<Mutex<BTreeMap<String, String>>>);

impl Logs {
    /// Takes down what is logged as the log of a pod.
    pub(super) fn of(&self, pod: &str) -> Log {
        let (logs, pod) = (self.0.clone(), pod.to_owned());
        logs.lock().unwrap_or_else(PoisonError::into_inner).entry(pod.clone()).or_default();
        Log::to(move |line| {
            let mut logs = logs.lock().unwrap_or_else(PoisonError::into_inner);
            let log = logs.entry(pod.clone()).or_default();
            if log.len() < KEPT {
                log.push_str(line);
                log.push('\n');
            }
        })
    }

    /// Where the API server finds them.
    pub(super) fn source(&self) -> MirroredLogs {
        let logs = self.0.clone();
        Arc::new(move |_, pod| logs.lock().unwrap_or_else(PoisonError::into_inner).get(pod).cloned())
    }
}
