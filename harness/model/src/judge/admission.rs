//! What admission made of a pod.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Unmet, Verdict, advice, broken, same, stored};
use crate::evidence::{Facts, PodEvidence};
use crate::injection::{self, Container, LAYOUTS, Layout, VARIABLES};
use crate::mutation::Settings;
use crate::scenario::{AdmissionExpectation, AdmissionOutcome, Refusal};
use crate::verdict::{Difference, Hop};

pub(super) fn judge(expectation: &AdmissionExpectation, evidence: &PodEvidence, facts: &Facts) -> Verdict {
    match &expectation.outcome {
        AdmissionOutcome::Mutated => mutated(evidence, facts),
        AdmissionOutcome::Unchanged => unchanged(evidence),
        AdmissionOutcome::Refused(refusal) => refused(refusal, evidence),
    }
}

fn refused(refusal: &Refusal, evidence: &PodEvidence) -> Verdict {
    let expected = format!("refused with {} and `{}`", refusal.status, refusal.message.value);
    let Some(seen) = &evidence.refused else {
        return Err(match &evidence.stored {
            Some(_) => broken(Hop::Admission, expected, "admitted"),
            None => super::not_yet(Hop::Admission, expected, "the pod was not created"),
        });
    };
    if seen.status == refusal.status && seen.message.contains(&refusal.message.value) {
        Ok(())
    } else {
        Err(broken(Hop::Admission, expected, format!("refused with {} and `{}`", seen.status, seen.message)))
    }
}

/// The layout that the pod must follow: the target's profile, or the one that the pod shows.
pub(super) fn layout(pod: &Value, facts: &Facts) -> Layout {
    let declared = facts.profile.as_deref().and_then(Layout::of);
    declared.or_else(|| injection::shown_layout(pod)).unwrap_or(LAYOUTS[0])
}

fn mutated(evidence: &PodEvidence, facts: &Facts) -> Verdict {
    let expected = "admitted and mutated";
    let pod = stored(evidence, expected)?;
    let layout = layout(pod, facts);
    let fault = |expected: String, observed: String| {
        Unmet::Broken(Difference::at(Hop::Admission, expected, observed).advise(advice::not_mutated(&evidence.sent)))
    };

    let volume = token_volume(pod, &layout)
        .map_err(|observed| fault(format!("one projected volume with {}", layout.token_path), observed))?;
    let settings = settings(facts);
    same(Hop::Admission, "the projected token's audience", &settings.audience, volume.audience)?;
    let wanted = wanted_expiration(evidence);
    same(Hop::Admission, "the projected token's expirationSeconds", &wanted, &volume.expiration.to_string())?;
    // The API server's default: a token that the container's user cannot read breaks only where it is used.
    if let Some(mode) = volume.default_mode.filter(|mode| *mode != 0o644) {
        return Err(broken(Hop::Admission, "the projected token's defaultMode = 420", mode.to_string()));
    }
    let names = layout.volume_names(pod);
    if !names.is_empty() && !names.iter().any(|name| name == volume.volume) {
        let expected = format!("the token volume's name = {}", names.join(" or "));
        return Err(broken(Hop::Admission, expected, volume.volume));
    }

    let before: BTreeMap<&str, Container<'_>> =
        injection::containers(&evidence.sent).into_iter().map(|c| (c.name, c)).collect();
    let skipped = injection::skipped(&evidence.sent);
    for container in injection::containers(pod) {
        let sent = before.get(container.name);
        if let Some(name) = container.repeated.iter().find(|name| VARIABLES.contains(name)) {
            return Err(fault(format!("container {}: {name} once", container.name), "twice".to_owned()));
        }
        if skipped.contains(&container.name) {
            untouched(&container, sent, volume.volume)?;
        } else {
            let advice = advice::not_mutated(&evidence.sent);
            injected(
                &container,
                sent,
                volume.volume,
                &layout,
                &wanted_variables(evidence, &layout, &settings),
                advice,
            )?;
        }
    }
    Ok(())
}

/// The one volume that projects the token at the layout's path.
pub(super) fn token_volume<'a>(pod: &'a Value, layout: &Layout) -> Result<injection::TokenSource<'a>, String> {
    let mut found: Vec<_> =
        injection::identity_tokens(pod).into_iter().filter(|source| source.path == layout.token_path).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err("none".to_owned()),
        n => Err(format!("{n} of them: {}", found.iter().map(|s| s.volume).collect::<Vec<_>>().join(", "))),
    }
}

fn injected(
    container: &Container<'_>,
    sent: Option<&Container<'_>>,
    volume: &str,
    layout: &Layout,
    wanted: &[(&'static str, Option<String>)],
    advice: &'static str,
) -> Verdict {
    let name = container.name;
    let mounts: Vec<_> = container.mounts.iter().filter(|(mounted, _, _)| *mounted == volume).collect();
    let expected = format!("container {name}: volume {volume} mounted once at {}, read-only", layout.mount_path);
    match mounts.as_slice() {
        [(_, path, true)] if *path == layout.mount_path => {}
        [] => {
            return Err(Unmet::Broken(Difference::at(Hop::Admission, expected, "not mounted").advise(advice)));
        }
        others => return Err(broken(Hop::Admission, expected, format!("{others:?}"))),
    }
    for (variable, value) in wanted {
        let preset = sent.and_then(|sent| sent.env.get(variable));
        let value = preset.copied().or(value.as_deref().map(Some));
        let seen = container.env.get(variable).copied();
        if seen != value {
            let shown = |v: Option<Option<&str>>| match v {
                None => "absent".to_owned(),
                Some(None) => "from elsewhere".to_owned(),
                Some(Some(value)) => format!("`{value}`"),
            };
            let expected = format!("container {name}: {variable} {}", shown(value));
            return Err(broken(Hop::Admission, expected, shown(seen)));
        }
    }
    let sets_it = sent.is_some_and(|sent| sent.env.contains_key("AZURE_CLIENT_ID"));
    if container.env.get("AZURE_CLIENT_ID") == Some(&Some("")) && !sets_it {
        return Err(broken(
            Hop::Admission,
            format!("container {name}: AZURE_CLIENT_ID with a value, or absent"),
            "empty",
        ));
    }
    Ok(())
}

/// The settings that the case asked for, over those of the target.
fn settings(facts: &Facts) -> Settings {
    Settings::of(&facts.webhook_settings, &facts.tenant_id, &facts.authority, &facts.kubernetes)
}

/// The variables that a container must get, `None` where it must get none. What the account says comes first; where it is
/// not known, as for an account that was never read, the client id may be anything but empty.
fn wanted_variables(
    evidence: &PodEvidence,
    layout: &Layout,
    settings: &Settings,
) -> Vec<(&'static str, Option<String>)> {
    let annotation = |name: &str| {
        let annotations = &evidence.account.as_ref()?["metadata"]["annotations"];
        annotations[format!("azure.workload.identity/{name}")].as_str().map(str::to_owned)
    };
    let filled = |value: Option<String>| value.filter(|value| !value.is_empty());
    // The key decides, not the value: an empty tenant id takes the configured one away.
    let tenant = annotation("tenant-id").unwrap_or_else(|| settings.tenant.clone());
    let mut wanted =
        vec![("AZURE_TENANT_ID", filled(Some(tenant))), ("AZURE_FEDERATED_TOKEN_FILE", Some(layout.token_file()))];
    if !settings.authority.is_empty() && settings.authority != crate::mutation::ANY {
        wanted.push(("AZURE_AUTHORITY_HOST", Some(settings.authority.clone())));
    }
    if evidence.account.is_some() {
        wanted.push(("AZURE_CLIENT_ID", filled(annotation("client-id"))));
    }
    wanted
}

/// How long the token shall live: as the pod says, else as its account says, else an hour.
fn wanted_expiration(evidence: &PodEvidence) -> String {
    let said = |object: &Value| {
        let text = object["metadata"]["annotations"][injection::EXPIRATION_ANNOTATION].as_str();
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    said(&evidence.sent)
        .or_else(|| evidence.account.as_ref().and_then(said))
        .unwrap_or_else(|| injection::EXPIRATION.to_string())
}

fn untouched(container: &Container<'_>, sent: Option<&Container<'_>>, volume: &str) -> Verdict {
    let name = container.name;
    if container.mounts.iter().any(|(mounted, _, _)| *mounted == volume) {
        return Err(broken(
            Hop::Admission,
            format!("skipped container {name}: no mount of the token"),
            format!("mounts {volume}"),
        ));
    }
    added_variable(container, sent).map_or(Ok(()), |variable| {
        Err(broken(Hop::Admission, format!("skipped container {name}: no {variable}"), "present"))
    })
}

/// A variable of workload identity that the container has now and had not when it was sent.
fn added_variable<'a>(container: &Container<'_>, sent: Option<&Container<'_>>) -> Option<&'a str> {
    let had = |variable: &str| sent.is_some_and(|sent| sent.env.contains_key(variable));
    VARIABLES.into_iter().find(|variable| container.env.contains_key(variable) && !had(variable))
}

fn unchanged(evidence: &PodEvidence) -> Verdict {
    let expected = "admitted without mutation";
    let pod = stored(evidence, expected)?;
    let before = injection::containers(&evidence.sent);
    for container in injection::containers(pod) {
        let sent = before.iter().find(|c| c.name == container.name);
        if let Some(variable) = added_variable(&container, sent) {
            return Err(broken(Hop::Admission, expected, format!("container {} got {variable}", container.name)));
        }
    }
    let had = injection::identity_tokens(&evidence.sent);
    match injection::identity_tokens(pod).into_iter().find(|source| !had.contains(source)) {
        Some(added) => Err(broken(
            Hop::Admission,
            expected,
            format!("volume {} projects a token for {}", added.volume, added.audience),
        )),
        None => Ok(()),
    }
}
