//! A run split over machines: each makes the same split by itself.

use std::collections::BTreeMap;
use std::str::FromStr;

use wi_model::plan::Case;
use wi_model::record::{Outcome, RunRecord};
use wi_model::secret::sha256_hex;
use wi_report::Shard;

/// `i/n`: the part that is asked for, from 1, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub index: u32,
    pub count: u32,
}

impl FromStr for Part {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected `i/n` with 1 <= i <= n, such as `2/3`".to_owned();
        let (index, count) = text.split_once('/').ok_or_else(expected)?;
        let (index, count) = (index.parse().map_err(|_| expected())?, count.parse().map_err(|_| expected())?);
        if index >= 1 && index <= count { Ok(Part { index, count }) } else { Err(expected()) }
    }
}

/// How long cases took in a past run. One that did not run says nothing.
pub fn durations(past: &RunRecord) -> BTreeMap<String, u64> {
    let ran = past.cases.iter().filter(|case| !matches!(case.outcome, Outcome::NotApplicable | Outcome::Blocked));
    ran.map(|case| (case.id.clone(), case.duration_ms.max(1))).collect()
}

/// The part of the cases that is asked for, and what every part has in common.
///
/// Longest first, each to the part with the least to do; one whose duration is not known counts as the middle one. Among
/// equals a hash of the id decides, so that neighbours in a folder, which are often alike, do not stay together.
///
/// # Errors
/// There are fewer cases than parts, so that some part would run nothing.
pub fn select(cases: Vec<Case>, part: Part, past: &BTreeMap<String, u64>) -> Result<(Vec<Case>, Shard), String> {
    let parts = part.count as usize;
    if cases.len() < parts {
        return Err(format!(
            "expected at most as many shards as cases, found {parts} shards for {} cases",
            cases.len()
        ));
    }
    let owners = split(cases.iter().map(|case| case.id.as_str()), parts, past);
    let listed: Vec<String> = owners.iter().map(|(id, owner)| format!("{id} {owner}\n")).collect();
    let split = sha256_hex(listed.concat().as_bytes())[..16].to_owned();
    let mine = (part.index - 1) as usize;
    let cases = cases.into_iter().filter(|case| owners.get(&case.id) == Some(&mine)).collect();
    Ok((cases, Shard { index: part.index, count: part.count, split }))
}

fn split<'a>(
    ids: impl Iterator<Item = &'a str>,
    parts: usize,
    past: &BTreeMap<String, u64>,
) -> BTreeMap<String, usize> {
    let ids: Vec<&str> = ids.collect();
    let mut known: Vec<u64> = ids.iter().filter_map(|id| past.get(*id)).copied().collect();
    known.sort_unstable();
    let middle = known.get(known.len() / 2).copied().unwrap_or(1);
    let mut queue: Vec<(u64, String, &str)> =
        ids.iter().map(|id| (past.get(*id).copied().unwrap_or(middle), sha256_hex(id.as_bytes()), *id)).collect();
    queue.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let mut loads = vec![0u64; parts];
    let mut owners = BTreeMap::new();
    for (duration, _, id) in queue {
        let least = (0..parts).min_by_key(|owner| (loads[*owner], *owner)).unwrap_or(0);
        loads[least] += duration;
        owners.insert(id.to_owned(), least);
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("area{}/case-{i}", i % 7)).collect()
    }

    #[test]
    fn every_case_is_in_exactly_one_part_whatever_the_order_and_no_part_is_empty() {
        for (count, parts) in [(3, 3), (10, 3), (100, 7)] {
            let all = ids(count);
            let owners = split(all.iter().map(String::as_str), parts, &BTreeMap::new());
            let turned = split(all.iter().rev().map(String::as_str), parts, &BTreeMap::new());
            assert_eq!(owners, turned);
            assert_eq!(owners.len(), count);
            let sizes: Vec<usize> = (0..parts).map(|part| owners.values().filter(|o| **o == part).count()).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
        }
    }

    #[test]
    fn known_durations_balance_the_parts_and_an_unknown_one_counts_as_the_middle() {
        let all = ids(9);
        let mut past: BTreeMap<String, u64> = all.iter().map(|id| (id.clone(), 10)).collect();
        past.insert(all[4].clone(), 80);
        let owners = split(all.iter().map(String::as_str), 2, &past);
        let alone = owners[&all[4]];
        assert_eq!(
            owners.values().filter(|owner| **owner == alone).count(),
            1,
            "eight short ones weigh one long one up"
        );
        past.remove(&all[0]);
        assert_eq!(split(all.iter().map(String::as_str), 2, &past), owners);
    }

    #[test]
    fn a_part_is_written_as_i_of_n() {
        assert_eq!("2/3".parse(), Ok(Part { index: 2, count: 3 }));
        for wrong in ["0/3", "4/3", "1", "a/b", "1/0", "-1/2", ""] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
    }
}
