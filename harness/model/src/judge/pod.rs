//! What the stored pod says, and what its containers print.

use super::{Verdict, admission, broken, cluster, not_yet, same, stored, voice};
use crate::evidence::{Facts, PodEvidence};
use crate::injection;
use crate::scenario::{LogExpectation, PodExpectation};
use crate::verdict::Hop;

pub(super) fn judge(expectation: &PodExpectation, evidence: &PodEvidence, facts: &Facts) -> Verdict {
    let pod = stored(evidence, "admitted")?;
    let layout = admission::layout(pod, facts);
    let all = injection::containers(pod);
    let looked_at: Vec<_> = match &expectation.container {
        None => all.iter().collect(),
        Some(name) => all.iter().filter(|c| c.name == name.value).collect(),
    };
    if looked_at.is_empty() {
        let wanted = expectation.container.as_ref().map_or("a container", |name| name.value.as_str());
        let names: Vec<_> = all.iter().map(|c| c.name).collect();
        return Err(broken(Hop::Admission, format!("container {wanted}"), format!("containers {}", names.join(", "))));
    }
    for container in &looked_at {
        for (variable, value) in &expectation.env {
            let observed = match container.env.get(variable.as_str()) {
                None => "absent",
                Some(None) => "a value from elsewhere",
                Some(Some(value)) => value,
            };
            same(Hop::Admission, &format!("container {}: env {variable}", container.name), &value.value, observed)?;
        }
        for variable in &expectation.without_env {
            if container.env.contains_key(variable.value.as_str()) {
                return Err(broken(
                    Hop::Admission,
                    format!("container {}: no env {}", container.name, variable.value),
                    "present",
                ));
            }
        }
    }
    if let Some(wanted) = &expectation.token_volume {
        let source = admission::token_volume(pod, &layout).map_err(|observed| {
            broken(Hop::Admission, format!("one projected volume with {}", layout.token_path), observed)
        })?;
        same(Hop::Admission, "the projected token's audience", &wanted.audience.value, source.audience)?;
        let (wanted, seen) = (wanted.expiration.to_string(), source.expiration.to_string());
        same(Hop::Admission, "the projected token's expirationSeconds", &wanted, &seen)?;
        if !expectation.without_token_mount {
            for container in &looked_at {
                if !container
                    .mounts
                    .iter()
                    .any(|(volume, path, _)| *volume == source.volume && *path == layout.mount_path)
                {
                    let expected = format!("container {}: the token mounted at {}", container.name, layout.mount_path);
                    return Err(broken(Hop::Admission, expected, "not mounted there"));
                }
            }
        }
    }
    if expectation.without_token_mount {
        let volumes: Vec<_> = injection::identity_tokens(pod).into_iter().map(|source| source.volume).collect();
        for container in &looked_at {
            if let Some((volume, path, _)) = container.mounts.iter().find(|(volume, _, _)| volumes.contains(volume)) {
                let observed = format!("{volume} mounted at {path}");
                return Err(broken(Hop::Admission, format!("container {}: no token mount", container.name), observed));
            }
        }
    }
    cluster::fields(&format!("pod {}", expectation.name.value), pod, &expectation.fields, &expectation.without_fields)
        .map_err(|(expected, observed)| broken(Hop::Admission, expected, observed))?;
    if expectation.without_api_token
        && let Some(source) = injection::token_sources(pod).into_iter().find(|source| source.audience.is_empty())
    {
        return Err(broken(Hop::Admission, "no token for the API server", format!("volume {}", source.volume)));
    }
    Ok(())
}

pub(super) fn judge_log(expectation: &LogExpectation, evidence: &PodEvidence) -> Verdict {
    let wanted = &expectation.line.value;
    let expected = format!("a line with `{wanted}`");
    voice::each_printing(evidence, expectation.container.as_ref(), &expected, |voice| {
        let log = voice.run.map_or("", |run| run.log.as_str());
        if log.lines().any(|line| line.contains(wanted)) {
            return Ok(());
        }
        let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
        let last: String = last.chars().take(200).collect();
        let condition = voice.pod.condition();
        let observed = format!("{} lines, the last is `{last}`; {condition}", log.lines().count());
        // Whoever runs, or runs again, may print it yet.
        let over = matches!(voice.pod.phase(), "Succeeded" | "Failed");
        Err(if over { broken(Hop::Pod, &expected, observed) } else { not_yet(Hop::Pod, &expected, observed) })
    })
}
