//! Several runs as one: the parts of a run that was split over machines, or a run and what was run again.

use std::collections::{BTreeMap, BTreeSet};

use wi_model::record::{Outcome, Phase, Record, RunRecord};

use crate::events::{Folded, Unreadable};

/// One record for all of them.
pub(crate) fn merge(mut runs: Vec<Folded>) -> Result<RunRecord, Unreadable> {
    if runs.len() == 1 {
        return Ok(runs.remove(0).record);
    }
    runs.sort_by(|a, b| (&a.record.started, &a.record.run).cmp(&(&b.record.started, &b.record.run)));
    // The same log given twice says nothing new.
    runs.dedup_by(|b, a| a.record.run == b.record.run && a.shard == b.shard && a.record.started == b.record.started);
    let placed: Vec<&Folded> = runs.iter().filter(|run| run.placed).collect();
    for pair in placed.windows(2) {
        let (a, b) = (what_was_judged(&pair[0].record), what_was_judged(&pair[1].record));
        if a != b {
            return Err(Unreadable(format!(
                "these runs cannot be merged: {} tested {a}, {} tested {b}; compare them with `wi-conformance diff`",
                pair[0].record.run, pair[1].record.run
            )));
        }
    }
    let environment =
        placed.first().or(runs.iter().collect::<Vec<_>>().first()).map(|run| run.record.environment.clone());
    let mut notes = shards(&runs)?;
    let missing = !notes.is_empty();
    let mut merged = RunRecord { environment: environment.unwrap_or_default(), ..runs[0].record.clone() };
    merged.run = runs.iter().map(|run| run.record.run.as_str()).collect::<Vec<_>>().join("+");
    merged.phases = Vec::new();
    merged.notes = Vec::new();
    merged.leftovers = Vec::new();
    merged.interrupted = missing;
    // With each case, whether the run that it is from was interrupted.
    let mut cases: BTreeMap<String, (Record, bool)> = BTreeMap::new();
    let mut again = BTreeSet::new();
    for Folded { record, shard, .. } in runs {
        let name = shard.map_or_else(|| record.run.clone(), |shard| format!("shard {}/{}", shard.index, shard.count));
        merged.duration_ms = merged.duration_ms.max(record.duration_ms);
        let phases = record.phases.into_iter().map(|phase| Phase { what: format!("{name} {}", phase.what), ..phase });
        merged.phases.extend(phases);
        merged.leftovers.extend(record.leftovers);
        merged.notes.extend(record.notes);
        merged.requirements.extend(record.requirements);
        for case in record.cases {
            if let Some((earlier, _)) = cases.insert(case.id.clone(), (case, record.interrupted)) {
                again.insert(earlier.id);
            }
        }
    }
    // What an interrupted run had left out may have run since.
    merged.interrupted |= cases.values().any(|(case, interrupted)| *interrupted && case.outcome == Outcome::Blocked);
    if !again.is_empty() {
        let ids: Vec<String> = again.into_iter().collect();
        notes.push(format!("run several times; the last verdict counts: {}", ids.join(", ")));
    }
    merged.cases = cases.into_values().map(|(case, _)| case).collect();
    merged.notes.append(&mut notes);
    Ok(merged)
}

fn what_was_judged(run: &RunRecord) -> String {
    let place = &run.environment;
    format!(
        "webhook {}, profile {}, on target {} ({})",
        place.judged(),
        place.profile.as_deref().unwrap_or("unknown"),
        place.target,
        place.kubernetes.as_deref().unwrap_or("version unknown")
    )
}

/// What is missing of the larger run that shards are parts of, in sentences.
fn shards(runs: &[Folded]) -> Result<Vec<String>, Unreadable> {
    let shards: Vec<_> = runs.iter().filter_map(|run| run.shard.as_ref()).collect();
    let Some(first) = shards.first() else { return Ok(Vec::new()) };
    if let Some(other) = shards.iter().find(|shard| (&shard.split, shard.count) != (&first.split, first.count)) {
        return Err(Unreadable(format!(
            "shard {}/{} and shard {}/{} are parts of different runs: the scenarios, the selection or the durations were \
             not the same",
            first.index, first.count, other.index, other.count
        )));
    }
    let there: BTreeSet<u32> = shards.iter().map(|shard| shard.index).collect();
    let missing: Vec<String> =
        (1..=first.count).filter(|index| !there.contains(index)).map(|index| index.to_string()).collect();
    Ok(if missing.is_empty() {
        Vec::new()
    } else {
        vec![format!("missing of {} shards: {}", first.count, missing.join(", "))]
    })
}
