//! Logs of webhooks that run in this process, as their pods' own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use wi_embedded_cluster::MirroredLogs;
use wi_reference_webhook::Log;

/// How much of a log is kept, in bytes: more than any case brings about.
const KEPT: usize = 8 * 1024 * 1024;

/// The logs by pod, each line with its time.
#[derive(Clone)]
pub(super) struct Logs {
    kept: Arc<Mutex<BTreeMap<String, String>>>,
    clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl Logs {
    /// None yet.
    pub(super) fn new(clock: Arc<dyn Fn() -> SystemTime + Send + Sync>) -> Self {
        Logs { kept: Arc::default(), clock }
    }

    /// Takes down what is logged as the log of a pod.
    pub(super) fn of(&self, pod: &str) -> Log {
        let (logs, clock, pod) = (self.kept.clone(), self.clock.clone(), pod.to_owned());
        logs.lock().unwrap_or_else(PoisonError::into_inner).entry(pod.clone()).or_default();
        Log::to(move |line| {
            let mut logs = logs.lock().unwrap_or_else(PoisonError::into_inner);
            let log = logs.entry(pod.clone()).or_default();
            if log.len() < KEPT {
                let now = jiff::Timestamp::try_from(clock()).unwrap_or_default();
                for line in line.split('\n') {
                    log.push_str(&format!("{now} {line}\n"));
                }
            }
        })
    }

    /// Where the API server finds them.
    pub(super) fn source(&self) -> MirroredLogs {
        let logs = self.kept.clone();
        Arc::new(move |_, pod| logs.lock().unwrap_or_else(PoisonError::into_inner).get(pod).cloned())
    }
}
