//! Who speaks for a pod: each container that prints documents or a sample's line, by its newest run and the newest round in
//! it. Nobody is passed over because somebody else has spoken already.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Unmet, Verdict, broken, chain, not_yet, stored};
use crate::evidence::{Facts, PodEvidence, PrintedSecret, RunEvidence};
use crate::images::{Speech, speech};
use crate::injection;
use crate::located::Text;
use crate::verdict::{Difference, Hop};

/// The variable by which a container hears that another round is asked for.
const HEARS: &str = "QUICKSTART_AGAIN_FILE";

/// A container as it speaks: its newest run, and in that the newest round.
#[derive(Clone, Copy)]
pub(super) struct Voice<'a> {
    pub(super) pod: &'a PodEvidence,
    pub(super) container: &'a str,
    pub(super) run: Option<&'a RunEvidence>,
}

impl<'a> Voice<'a> {
    fn of(pod: &'a PodEvidence, container: &'a str) -> Self {
        let run = pod.runs_of(container).max_by_key(|run| run.restart);
        Voice { pod, container, run }
    }

    /// The documents of the round that counts, with their places: the newest, and where the harness asked for one, the
    /// newest that was begun for that.
    fn round(&self) -> impl Iterator<Item = (usize, &'a Value)> + use<'a> {
        let range = self.run.and_then(|run| run.rounds().pop()).unwrap_or(0..0);
        let documents = self.run.map_or(&[][..], |run| &run.documents[range.clone()]);
        let asked = self.pod.asked;
        let counts =
            self.pod.own || asked == 0 || documents.first().is_some_and(|first| first["again"] == *asked.to_string());
        let counted = if counts { documents } else { &[] };
        counted.iter().enumerate().map(move |(index, document)| (range.start + index, document))
    }

    /// The document of this kind in the round that counts.
    pub(super) fn document(&self, event: &str) -> Option<&'a Value> {
        self.round().find(|(_, document)| document["event"] == event).map(|(_, document)| document)
    }

    /// The first document of this kind that the container printed, in any round of any run.
    pub(super) fn first_document(&self, event: &str) -> Option<&'a Value> {
        let mut all = self.pod.runs_of(self.container).flat_map(|run| &run.documents);
        all.find(|document| document["event"] == event)
    }

    /// The last document of the round that counts.
    pub(super) fn last_document(&self) -> Option<&'a Value> {
        self.round().last().map(|(_, document)| document)
    }

    /// Whether it prints no documents, as a vendor's sample.
    pub(super) fn is_sample(&self) -> bool {
        self.run.is_some_and(|run| run.documents.is_empty())
    }

    /// Hash of the value that was printed after the read that counts; of a sample that prints no documents, the last.
    pub(super) fn printed_secret(&self) -> Option<&'a str> {
        let run = self.run?;
        let read = self.round().find(|(_, document)| document["event"] == "secret-read");
        let of_read = |printed: &&PrintedSecret| match read {
            Some((index, _)) => printed.documents == index + 1,
            None => run.documents.is_empty(),
        };
        run.printed.iter().rfind(of_read).map(|printed| printed.sha256.as_str())
    }

    /// Whether it says nothing more in the round that counts.
    pub(super) fn finished(&self) -> bool {
        self.document("end").is_some()
            || self.run.is_some_and(|run| run.ended)
            || matches!(self.pod.phase(), "Succeeded" | "Failed")
    }

    /// Where it speaks from.
    pub(super) fn place(&self) -> String {
        if self.pod.own {
            return format!("exchange {}", self.pod.name());
        }
        let mut place = format!("pod {}, container {}", self.pod.name(), self.container);
        if let Some(restart) = self.run.map(|run| run.restart).filter(|restart| *restart > 0) {
            place.push_str(&format!(", restart {restart}"));
        }
        let round = self.last_document().and_then(|document| document["round"].as_u64()).filter(|round| *round > 1);
        place.push_str(&round.map(|round| format!(", round {round}")).unwrap_or_default());
        place
    }

    /// That every run of it that was seen keeps the contract.
    fn sound(&self) -> Verdict {
        let mut faults =
            self.pod.runs_of(self.container).flat_map(|run| run.faults.iter().map(move |what| (run.restart, what)));
        match faults.next() {
            None => Ok(()),
            Some((restart, what)) => {
                let of_run = if restart > 0 { format!(" of the run after restart {restart}") } else { String::new() };
                let observed = format!("its log{of_run}, {what}: an invalid document");
                Err(broken(Hop::Pod, "documents that follow the contract of quick-start programs", observed))
            }
        }
    }
}

/// Judges each container of a pod that speaks, or the one that is named. All must fit.
///
/// With `way`, what broke on the way to what should have been granted is told, and not what followed from that.
pub(super) fn each(
    pod: &PodEvidence,
    container: Option<&Text>,
    expected: &str,
    way: Option<&Facts>,
    judge: impl Fn(&Voice<'_>) -> Verdict,
) -> Verdict {
    let judge = |voice: &Voice<'_>| match (judge(voice), way) {
        (Err(Unmet::Broken(told)), Some(facts)) => Err(Unmet::Broken(chain::first_broken(voice, facts, told))),
        (verdict, _) => verdict,
    };
    each_of(pod, container, expected, RunEvidence::speaks, |voice| voice.sound().and_then(|()| judge(voice)))
}

/// The same of each container that prints anything at all.
pub(super) fn each_printing(
    pod: &PodEvidence,
    container: Option<&Text>,
    expected: &str,
    judge: impl Fn(&Voice<'_>) -> Verdict,
) -> Verdict {
    each_of(pod, container, expected, |run| !run.log.trim().is_empty(), judge)
}

fn each_of(
    pod: &PodEvidence,
    container: Option<&Text>,
    expected: &str,
    speaks: impl Fn(&RunEvidence) -> bool,
    judge: impl Fn(&Voice<'_>) -> Verdict,
) -> Verdict {
    let pod_as_stored = stored(pod, expected)?;
    if pod.own {
        return judge(&Voice { pod, container: "", run: pod.runs.last() });
    }
    let names: Vec<&str> = containers(pod_as_stored, pod);
    let wanted: Vec<&str> = match container {
        None => names.iter().copied().filter(|name| !must_hear(pod) || hears(pod_as_stored, name)).collect(),
        Some(wanted) => {
            let found = names.iter().copied().filter(|name| *name == wanted.value).collect::<Vec<_>>();
            if found.is_empty() {
                let observed = format!("pod {} has {}", pod.name(), names.join(", "));
                return Err(broken(Hop::Pod, format!("container {}", wanted.value), observed));
            }
            found
        }
    };
    let spoke = |name: &&str| pod.runs_of(name).any(&speaks);
    let speaking: BTreeSet<&str> = wanted.iter().copied().filter(spoke).collect();
    let mut open = None;
    for name in wanted.iter().copied().filter(|name| speaking.contains(name)) {
        let voice = Voice::of(pod, name);
        let at = |difference: Difference| Difference {
            observed: format!("{}: {}", voice.place(), difference.observed),
            ..difference
        };
        match judge(&voice) {
            Ok(()) => {}
            Err(Unmet::Broken(difference)) => return Err(Unmet::Broken(at(difference))),
            Err(Unmet::NotYet(difference)) => open = open.or(Some(Unmet::NotYet(at(difference)))),
            Err(Unmet::SoFar(difference)) => open = open.or(Some(Unmet::SoFar(at(difference)))),
        }
    }
    if let Some(open @ Unmet::NotYet(_)) = open {
        return Err(open);
    }
    let named = container.is_some();
    for name in wanted.iter().copied().filter(|name| !speaking.contains(name)) {
        let awaited = awaited(pod_as_stored, pod, name, &speaking, named || wanted.len() == 1);
        let voice = Voice::of(pod, name);
        let observed = || format!("{}: has not printed it; {}", voice.place(), pod.condition());
        match awaited {
            Awaited::No => {}
            Awaited::Surely if over(pod, name) => {
                let told = by_record(pod, &observed()).unwrap_or((Hop::Pod, observed()));
                return Err(broken(told.0, expected, told.1));
            }
            Awaited::Surely => return Err(not_yet(Hop::Pod, expected, observed())),
            Awaited::Perhaps => {
                open = open.or_else(|| Some(Unmet::SoFar(Difference::at(Hop::Pod, expected, observed()))));
            }
        }
    }
    if speaking.is_empty() {
        let observed = format!("pod {}: no container has reported it; {}", pod.name(), pod.condition());
        let over = matches!(pod.phase(), "Succeeded" | "Failed");
        return Err(if over { broken(Hop::Pod, expected, observed) } else { not_yet(Hop::Pod, expected, observed) });
    }
    open.map_or(Ok(()), Err)
}

/// Where a pod that says nothing of what it did came to an end, by what the identity provider and the vault recorded of it.
fn by_record(pod: &PodEvidence, silent: &str) -> Option<(Hop, String)> {
    let last = |plane: &'static str| super::recorded(pod, plane).last();
    let refused = |hop: Hop, who: &str, exchange: &Value| {
        (hop, format!("{silent}; {who} answered {} to {}", exchange["status"], super::text(&exchange["path"])))
    };
    match (last("entra"), last("vault")) {
        (Some(exchange), _) if exchange["status"] != 200 => {
            Some(refused(Hop::Exchange, "the identity provider", exchange))
        }
        // An answer of 401 is the challenge with which every client begins.
        (_, Some(exchange)) if exchange["status"] != 200 && exchange["status"] != 401 => {
            Some(refused(Hop::Secret, "the vault", exchange))
        }
        _ => None,
    }
}

/// Containers of a pod, those included that were added to it while it ran and print.
fn containers<'a>(stored: &'a Value, pod: &'a PodEvidence) -> Vec<&'a str> {
    let mut names: Vec<&str> = injection::containers(stored).into_iter().map(|container| container.name).collect();
    for run in &pod.runs {
        if !names.contains(&run.container.as_str()) {
            names.push(&run.container);
        }
    }
    names
}

/// Whether the harness asked for a round, so that only who can hear that is judged.
fn must_hear(pod: &PodEvidence) -> bool {
    pod.asked > 0
}

/// What breaks the contract in the log of one of a pod's containers.
pub(super) fn unsound(pod: &PodEvidence) -> Option<Difference> {
    pod.runs.iter().find_map(|run| {
        let voice = Voice { pod, container: &run.container, run: Some(run) };
        match voice.sound() {
            Err(Unmet::Broken(told) | Unmet::NotYet(told) | Unmet::SoFar(told)) => {
                Some(Difference { observed: format!("{}: {}", voice.place(), told.observed), ..told })
            }
            Ok(()) => None,
        }
    })
}

/// Whether each container that hears has ended the round that it was asked for.
pub(super) fn has_ended_its_round(pod: &PodEvidence) -> bool {
    let Some(stored) = &pod.stored else { return false };
    let mut hearing = containers(stored, pod)
        .into_iter()
        .filter(|name| hears(stored, name) && pod.runs_of(name).any(RunEvidence::speaks))
        .peekable();
    hearing.peek().is_some() && hearing.all(|name| Voice::of(pod, name).document("end").is_some())
}

fn hears(stored: &Value, container: &str) -> bool {
    injection::containers(stored).iter().any(|found| found.name == container && found.env.contains_key(HEARS))
}

/// Whether a container that has not spoken is waited for.
enum Awaited {
    No,
    /// What it runs is known to speak, or it has not even begun.
    Surely,
    /// It runs something that nobody knows, and might.
    Perhaps,
}

fn awaited(stored: &Value, pod: &PodEvidence, name: &str, speaking: &BTreeSet<&str>, alone: bool) -> Awaited {
    // What webhooks put into the pod speaks if it likes.
    let Some(image) = pod.images.get(name) else { return if alone { Awaited::Surely } else { Awaited::No } };
    let like_one_that_speaks = speaking.iter().any(|other| pod.images.get(*other) == Some(image));
    match speech(image) {
        _ if alone || like_one_that_speaks => Awaited::Surely,
        Speech::Speaks => Awaited::Surely,
        Speech::Silent => Awaited::No,
        Speech::Unknown if !equipped(stored, name) || over(pod, name) => Awaited::No,
        Speech::Unknown if pod.status_of(name).is_some_and(|status| !status["state"]["running"].is_null()) => {
            Awaited::Perhaps
        }
        Speech::Unknown => Awaited::Surely,
    }
}

/// Whether a container has what it takes to ask.
pub(super) fn equipped(stored: &Value, name: &str) -> bool {
    let volumes: Vec<&str> = injection::identity_tokens(stored).into_iter().map(|source| source.volume).collect();
    injection::containers(stored).iter().filter(|container| container.name == name).any(|container| {
        container.env.contains_key("AZURE_FEDERATED_TOKEN_FILE")
            || container.mounts.iter().any(|(volume, _, _)| volumes.contains(volume))
    })
}

/// Whether a container has ended for good.
fn over(pod: &PodEvidence, name: &str) -> bool {
    if matches!(pod.phase(), "Succeeded" | "Failed") {
        return true;
    }
    let Some(ended) = pod.status_of(name).map(|status| &status["state"]["terminated"]).filter(|ended| !ended.is_null())
    else {
        return false;
    };
    let latest = pod.latest.as_ref().unwrap_or(&pod.sent);
    let init = latest["spec"]["initContainers"].as_array().into_iter().flatten().any(|found| found["name"] == name);
    let well = ended["exitCode"] == 0;
    match latest["spec"]["restartPolicy"].as_str().unwrap_or("Always") {
        "Never" => true,
        "OnFailure" => well,
        _ => init && well,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{difference, green};
    use super::*;

    const READ: &str = "secret-read: { by: p, vault: kv1, secret: testsecret, outcome: allowed }";

    /// A pod whose program has ended without a word, and what was recorded of it.
    fn silent(exchanges: &[Value]) -> PodEvidence {
        let mut pod = green();
        pod.runs.clear();
        pod.images.insert("app".into(), "example/reader".into());
        pod.latest = Some(json!({ "status": { "phase": "Failed" } }));
        pod.exchanges = exchanges.to_vec();
        pod
    }

    #[test]
    fn a_pod_that_says_nothing_is_told_by_the_last_answer_that_was_recorded_of_it() {
        let entra = |status: u16| json!({ "plane": "entra", "status": status, "path": "/t-1/oauth2/v2.0/token" });
        let vault = |status: u16| json!({ "plane": "vault", "status": status, "path": "/secrets/testsecret/", "principal": { "uti": "uti-1" } });
        let rows: [(&[Value], Hop, &str); 7] = [
            (&[], Hop::Pod, "has not printed it"),
            (&[entra(200)], Hop::Pod, "has not printed it"),
            (&[entra(400)], Hop::Exchange, "the identity provider answered 400 to /t-1/oauth2/v2.0/token"),
            (&[entra(400), entra(200)], Hop::Pod, "has not printed it"),
            (&[entra(200), vault(401), vault(403)], Hop::Secret, "the vault answered 403 to /secrets/testsecret/"),
            (&[entra(200), vault(401)], Hop::Pod, "has not printed it"),
            (&[entra(200), vault(403), entra(400)], Hop::Exchange, "the identity provider answered 400"),
        ];
        for (index, (exchanges, hop, told)) in rows.into_iter().enumerate() {
            let difference = difference(READ, &silent(exchanges));
            assert!(difference.hop == hop && difference.observed.contains(told), "row {index}: {difference:?}");
        }
    }
}
