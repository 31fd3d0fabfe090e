//! What each run of each container printed. What a cluster says about restarts is older than the logs that it gives: a kubelet
//! serves the log of a new run before the pod's status counts it. So a log belongs to the run that the time of its first line
//! belongs to, and a number of restarts that it was read under before is corrected.

use jiff::Timestamp;
use serde_json::Value;
use wi_model::evidence::{PodEvidence, RunEvidence};
use wi_model::redact::Redactor;

use super::Observer;
use crate::cluster::{Log, sentence};

/// How often logs are read in one look, while they turn out to be of other runs than they were read as.
const TIMES: usize = 3;

/// A log that is shorter than this was started again by no node: its first line is that of the run.
const WHOLE: usize = 256 * 1024;

/// Where a pod's status and logs are had.
pub(super) trait Source {
    /// The pod as it is now.
    async fn pod(&self) -> Result<Option<Value>, String>;
    /// What a container printed, or printed in the run before.
    async fn log(&self, container: &str, previous: bool) -> Result<Option<Log>, String>;
}

/// A pod of the cluster.
pub(super) struct OfPod<'a> {
    pub(super) observer: &'a Observer<'a>,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl Source for OfPod<'_> {
    async fn pod(&self) -> Result<Option<Value>, String> {
        self.observer.pod(self.namespace, self.name).await
    }

    async fn log(&self, container: &str, previous: bool) -> Result<Option<Log>, String> {
        let log = self.observer.cluster.log(self.namespace, self.name, container, previous).await;
        log.map_err(|error| sentence(&error))
    }
}

/// Reads what changed in the logs of a pod. A run that has ended is read once; of one before the newest the cluster keeps
/// the last alone.
///
/// # Errors
/// Something could not be read.
pub(super) async fn look(source: &impl Source, redactor: &Redactor, pod: &mut PodEvidence) -> Result<(), String> {
    for _ in 0..TIMES {
        if !read(source, redactor, pod).await? {
            break;
        }
        if let Some(latest) = source.pod().await? {
            pod.latest = Some(latest);
        }
    }
    Ok(())
}

/// Reads once, and says whether a log had been read as that of another run before, which must be read again.
async fn read(source: &impl Source, redactor: &Redactor, pod: &mut PodEvidence) -> Result<bool, String> {
    let started = started_containers(pod.latest.as_ref());
    let mut found = Vec::new();
    for container in &started {
        if container.restarts > 0 {
            let before = container.restarts - 1;
            let known = pod.runs_of(&container.name).any(|run| run.restart == before && run.ended);
            // Of a container that does not run, clusters do not agree which run is the one before.
            if !known && container.runs() {
                let log = source.log(&container.name, true).await?;
                found.push((container, log.map(|log| run(container, before, true, log, redactor))));
            }
        }
        let read_to_its_end = pod.runs_of(&container.name).any(|run| run.restart == container.restarts && run.ended);
        if !read_to_its_end || container.runs() {
            let log = source.log(&container.name, false).await?;
            let of = |log: Log| run(container, container.restarts, container.printed_all(log.begins), log, redactor);
            found.push((container, log.map(of)));
        }
    }
    // A container that was restarted meanwhile may have been read under the number of the run before: the next look
    // reads it again.
    let again = match started.iter().any(Started::may_run_again) {
        true => started_containers(source.pod().await?.as_ref()),
        false => started.clone(),
    };
    let mut renumbered = false;
    for (container, run) in found {
        let same = again.iter().any(|found| found.name == container.name && found.restarts == container.restarts);
        if let (true, Some(run)) = (same, run) {
            renumbered |= file(&mut pod.runs, run);
        }
    }
    let place = |name: &str| started.iter().position(|container| container.name == name);
    pod.runs.sort_by_key(|run| (place(&run.container), run.restart));
    Ok(renumbered)
}

fn run(container: &Started, restart: u32, ended: bool, log: Log, redactor: &Redactor) -> RunEvidence {
    let run = RunEvidence::read(&container.name, restart, &log.text, ended, log.cut);
    RunEvidence { begins: log.begins.map(|time| time.to_string()), ..run.keep(redactor.text(&log.text)) }
}

/// Puts what was read among the runs, and says whether one that is known under a lower number is this one. What is of a
/// later run than its number says is left out: it is read again once its number is known.
fn file(runs: &mut Vec<RunEvidence>, read: RunEvidence) -> bool {
    let begins = |run: &RunEvidence| run.begins.as_ref().and_then(|time| time.parse::<Timestamp>().ok());
    let when = begins(&read);
    let of_container = |known: &RunEvidence| known.container == read.container;
    let known_later = runs
        .iter()
        .any(|known| of_container(known) && known.restart > read.restart && when.is_some() && begins(known) == when);
    let before = runs.iter().find(|known| of_container(known) && known.restart == read.restart);
    let of_next = before.is_some_and(|known| match (begins(known), when) {
        (Some(known_at), Some(at)) => at > known_at && known.log.len() < WHOLE,
        // What was printed is not taken back.
        (Some(_), None) => true,
        (None, _) => false,
    });
    if known_later || of_next {
        return false;
    }
    let count = runs.len();
    runs.retain(|known| {
        !(of_container(known) && known.restart < read.restart && when.is_some() && begins(known) == when)
    });
    let renumbered = runs.len() < count;
    runs.retain(|known| !(of_container(known) && known.restart == read.restart));
    runs.push(read);
    renumbered
}

/// A container that has printed or may have.
#[derive(Debug, Clone)]
struct Started {
    name: String,
    restarts: u32,
    state: State,
}

/// What its newest run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Runs {
        /// Whether another run may follow.
        again: bool,
    },
    /// It has ended, and no other run follows.
    Over,
    /// It has ended at this time, in whole seconds, and is started again any moment.
    RunsAgain { ended: Option<Timestamp> },
    /// It has ended at this time, and is started again after a pause of seconds.
    Pauses { ended: Option<Timestamp> },
}

impl Started {
    fn runs(&self) -> bool {
        matches!(self.state, State::Runs { .. })
    }

    fn may_run_again(&self) -> bool {
        !matches!(self.state, State::Over | State::Runs { again: false })
    }

    /// Whether a log that begins then is all that the newest run has to say, and not the beginning of what the next one does.
    fn printed_all(&self, begins: Option<Timestamp>) -> bool {
        match self.state {
            State::Runs { .. } => false,
            State::Over => true,
            State::RunsAgain { ended } => begins.zip(ended).is_some_and(|(begins, ended)| begins < ended),
            State::Pauses { ended } => {
                begins.zip(ended).is_none_or(|(begins, ended)| begins.as_second() <= ended.as_second())
            }
        }
    }
}

/// Containers that have printed or may have, init containers first.
fn started_containers(pod: Option<&Value>) -> Vec<Started> {
    let Some(pod) = pod else { return Vec::new() };
    ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"]
        .iter()
        .flat_map(|list| pod["status"][list].as_array().into_iter().flatten().map(move |status| (*list, status)))
        .filter(|(_, status)| status["state"]["waiting"].is_null() || !status["lastState"]["terminated"].is_null())
        .filter_map(|(list, status)| {
            let restarts = status["restartCount"].as_u64().and_then(|count| u32::try_from(count).ok());
            let name = status["name"].as_str()?.to_owned();
            let state = state(pod, list, &name, status);
            Some(Started { name, restarts: restarts.unwrap_or_default(), state })
        })
        .collect()
}

fn state(pod: &Value, list: &str, name: &str, status: &Value) -> State {
    let init = list == "initContainerStatuses";
    let specs = pod["spec"]["initContainers"].as_array().into_iter().flatten();
    let sidecar = init && specs.into_iter().any(|spec| spec["name"] == name && spec["restartPolicy"] == "Always");
    let policy = pod["spec"]["restartPolicy"].as_str().unwrap_or("Always");
    let again = |failed: bool| match policy {
        _ if list == "ephemeralContainerStatuses" => false,
        _ if sidecar => true,
        "Never" => false,
        "OnFailure" => failed,
        _ => failed || !init,
    };
    if !status["state"]["running"].is_null() {
        return State::Runs { again: again(true) };
    }
    // While it waits to be started again, its log is still that of the run that ended.
    let terminated = [&status["state"]["terminated"], &status["lastState"]["terminated"]];
    let ended = terminated.into_iter().find(|ended| !ended.is_null()).unwrap_or(&Value::Null);
    let over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if over || !again(ended["exitCode"] != 0) {
        return State::Over;
    }
    let ended = ended["finishedAt"].as_str().and_then(|time| time.parse().ok());
    if status["state"]["waiting"].is_null() { State::RunsAgain { ended } } else { State::Pauses { ended } }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use serde_json::json;

    use super::*;

    /// A kubelet whose word about restarts reaches the API server late.
    struct Kubelet {
        /// What each run printed.
        runs: RefCell<Vec<String>>,
        /// Whether the newest run has ended.
        ended: Cell<bool>,
        /// The status that the API server has.
        told: RefCell<Value>,
        policy: &'static str,
    }

    fn time(run: usize, line: usize) -> String {
        format!("2026-01-01T00:00:0{run}.{line:09}Z")
    }

    impl Kubelet {
        fn new(policy: &'static str) -> Self {
            let told = RefCell::new(Value::Null);
            let kubelet = Kubelet { runs: RefCell::new(vec![String::new()]), ended: Cell::new(false), told, policy };
            kubelet.tell();
            kubelet
        }

        fn print(&self, line: &str) {
            let mut runs = self.runs.borrow_mut();
            let (run, count) = (runs.len() - 1, runs.last().map_or(0, |log| log.lines().count()));
            runs[run].push_str(&format!("{} {line}\n", time(run, count)));
        }

        fn end(&self) {
            self.ended.set(true);
        }

        fn restart(&self) {
            self.runs.borrow_mut().push(String::new());
            self.ended.set(false);
        }

        /// The API server hears how it is now.
        fn tell(&self) {
            let newest = self.runs.borrow().len() - 1;
            let ended = |run: usize| json!({ "terminated": { "exitCode": 1, "finishedAt": format!("2026-01-01T00:00:0{run}Z") } });
            let state = if self.ended.get() { ended(newest) } else { json!({ "running": {} }) };
            let last = if newest > 0 { ended(newest - 1) } else { json!({}) };
            let status = json!({ "name": "app", "restartCount": newest, "state": state, "lastState": last });
            *self.told.borrow_mut() = json!({ "spec": { "restartPolicy": self.policy }, "status": { "phase": "Running", "containerStatuses": [status] } });
        }

        /// One look, as a case looks; what is known of each run after it.
        async fn look(&self, pod: &mut PodEvidence) -> Vec<(u32, String, bool)> {
            pod.latest = self.pod().await.unwrap();
            look(self, &Redactor::new([]), pod).await.unwrap();
            pod.runs.iter().map(|run| (run.restart, run.log.clone(), run.ended)).collect()
        }
    }

    impl Source for Kubelet {
        async fn pod(&self) -> Result<Option<Value>, String> {
            Ok(Some(self.told.borrow().clone()))
        }

        async fn log(&self, _: &str, previous: bool) -> Result<Option<Log>, String> {
            let runs = self.runs.borrow();
            let wanted = runs.len().checked_sub(if previous { 2 } else { 1 });
            Ok(wanted.map(|run| Log::of(runs[run].as_bytes())))
        }
    }

    fn known(run: u32, log: &str, ended: bool) -> (u32, String, bool) {
        (run, log.to_owned(), ended)
    }

    #[tokio::test]
    async fn a_run_is_never_known_under_two_numbers_while_its_restart_is_not_told_yet() {
        let (kubelet, mut pod) = (Kubelet::new("Always"), PodEvidence::default());
        kubelet.print("a");
        assert_eq!(kubelet.look(&mut pod).await, [known(0, "a\n", false)]);
        // The kubelet has the next run already, and the API server has not even heard of the end.
        kubelet.end();
        kubelet.restart();
        kubelet.print("b");
        assert_eq!(kubelet.look(&mut pod).await, [known(0, "a\n", false)], "what is of another run is left out");
        kubelet.tell();
        assert_eq!(kubelet.look(&mut pod).await, [known(0, "a\n", true), known(1, "b\n", false)]);
    }

    #[tokio::test]
    async fn a_run_whose_number_was_wrong_gets_the_right_one_and_the_one_before_is_read_too() {
        let (kubelet, mut pod) = (Kubelet::new("Always"), PodEvidence::default());
        kubelet.print("a");
        kubelet.end();
        kubelet.tell();
        kubelet.restart();
        kubelet.print("b");
        // Nothing was known of the first run, so that nothing tells that this is not its log; but it may be the next one's,
        // which is not at its end.
        assert_eq!(kubelet.look(&mut pod).await, [known(0, "b\n", false)]);
        kubelet.print("c");
        kubelet.tell();
        assert_eq!(kubelet.look(&mut pod).await, [known(0, "a\n", true), known(1, "b\nc\n", false)]);
    }

    #[tokio::test]
    async fn two_restarts_that_are_told_as_one_leave_each_log_under_its_own_number() {
        let (kubelet, mut pod) = (Kubelet::new("Always"), PodEvidence::default());
        kubelet.print("a");
        kubelet.end();
        kubelet.restart();
        kubelet.tell();
        kubelet.print("b");
        kubelet.end();
        kubelet.restart();
        kubelet.print("c");
        // Told of the second run, while the third one goes on: its predecessor is taken for the first.
        kubelet.look(&mut pod).await;
        kubelet.tell();
        let seen = kubelet.look(&mut pod).await;
        assert_eq!(seen, [known(1, "b\n", true), known(2, "c\n", false)]);
    }

    #[tokio::test]
    async fn a_run_that_no_other_follows_is_at_its_end_when_it_has_ended() {
        for policy in ["Never", "Always"] {
            let (kubelet, mut pod) = (Kubelet::new(policy), PodEvidence::default());
            kubelet.print("a");
            kubelet.end();
            kubelet.tell();
            assert_eq!(kubelet.look(&mut pod).await, [known(0, "a\n", policy == "Never")]);
        }
    }

    #[test]
    fn a_log_is_at_its_end_where_it_cannot_be_that_of_the_next_run() {
        let ended = "2026-01-01T00:00:05Z".parse().ok();
        let at = |time: &str| time.parse().ok();
        let is = |state: State, begins| Started { name: "c".into(), restarts: 0, state }.printed_all(begins);
        assert!(is(State::RunsAgain { ended }, at("2026-01-01T00:00:04.9Z")));
        assert!(
            !is(State::RunsAgain { ended }, at("2026-01-01T00:00:05.1Z")),
            "the next one may have begun in that second"
        );
        assert!(!is(State::RunsAgain { ended }, None));
        assert!(is(State::Pauses { ended }, at("2026-01-01T00:00:05.1Z")));
        assert!(!is(State::Pauses { ended }, at("2026-01-01T00:00:15Z")));
        assert!(is(State::Over, None) && !is(State::Runs { again: true }, None));
    }

    #[test]
    fn a_log_that_a_node_has_begun_anew_is_still_that_of_its_run() {
        let of = |begins: &str, log: String| RunEvidence {
            container: "app".into(),
            begins: Some(begins.into()),
            log,
            ..RunEvidence::default()
        };
        let mut runs = vec![of("2026-01-01T00:00:00Z", "x".repeat(WHOLE))];
        assert!(!file(&mut runs, of("2026-01-01T00:00:09Z", "the rest".into())));
        assert_eq!(runs.iter().map(|run| run.log.as_str()).collect::<Vec<_>>(), ["the rest"]);
    }
}
