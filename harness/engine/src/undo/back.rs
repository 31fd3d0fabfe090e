//! What an object must be so that our changes are undone and nobody else's.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What `now` must be: as `before` wherever it is as one of `ours` left it, and as it is everywhere else. Places that both
/// we and somebody else changed are added to `lost`.
pub(crate) fn back(before: &Value, ours: &[Value], now: &Value, lost: &mut Vec<String>) -> Value {
    let ours: Vec<Option<&Value>> = ours.iter().map(Some).collect();
    part(Some(before), &ours, Some(now), "", lost).unwrap_or_default()
}

fn part(
    before: Option<&Value>,
    ours: &[Option<&Value>],
    now: Option<&Value>,
    path: &str,
    lost: &mut Vec<String>,
) -> Option<Value> {
    if now == before || ours.iter().all(|ours| *ours == before) {
        return now.cloned();
    }
    let under = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    if let (Some(Value::Object(before)), Some(Value::Object(now))) = (before, now)
        && ours.iter().all(|ours| ours.is_some_and(Value::is_object))
    {
        let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        let mut merged = Map::new();
        for key in keys {
            let ours: Vec<Option<&Value>> = ours.iter().map(|ours| ours.and_then(|ours| ours.get(key))).collect();
            if let Some(value) = part(before.get(key), &ours, now.get(key), &under(key), lost) {
                merged.insert(key.clone(), value);
            }
        }
        return Some(Value::Object(merged));
    }
    if let (Some(was), Some(is)) = (before.and_then(names), now.and_then(names))
        && ours.iter().all(|ours| ours.and_then(names).is_some())
    {
        // In the order of before, and then what is new.
        let order = was.iter().chain(is.iter().filter(|name| !was.contains(name)));
        let of = |list: Option<&Value>, name: &str| -> Option<Value> {
            list?.as_array()?.iter().find(|one| one["name"] == name).cloned()
        };
        let merged = order.filter_map(|name| {
            let (was, is) = (of(before, name), of(now, name));
            let ours: Vec<Option<Value>> = ours.iter().map(|ours| of(*ours, name)).collect();
            let ours: Vec<Option<&Value>> = ours.iter().map(Option::as_ref).collect();
            part(was.as_ref(), &ours, is.as_ref(), &format!("{path}[{name}]"), lost)
        });
        return Some(merged.collect());
    }
    if ours.contains(&now) {
        return before.cloned();
    }
    lost.push(path.to_owned());
    now.cloned()
}

/// The names of a list whose elements have one each; `None` of anything else.
fn names(list: &Value) -> Option<Vec<&str>> {
    let names: Vec<&str> = list.as_array()?.iter().map(|one| one["name"].as_str()).collect::<Option<_>>()?;
    let different: BTreeSet<&&str> = names.iter().collect();
    (different.len() == names.len()).then_some(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn our_changes_are_undone_and_nobody_elses() {
        let before = json!({ "data": { "a": "1", "b": "1" }, "hooks": [{ "name": "x", "ca": "old", "port": 1 }] });
        let ours =
            json!({ "data": { "a": "2", "b": "1", "c": "2" }, "hooks": [{ "name": "x", "ca": "new", "port": 1 }] });
        let table = [
            ("untouched", before.clone(), before.clone(), vec![]),
            ("as we left it", ours.clone(), before.clone(), vec![]),
            (
                "somebody else added and changed other things",
                json!({ "data": { "a": "2", "b": "9", "c": "2", "d": "9" }, "hooks": [{ "name": "x", "ca": "new", "port": 9 }] }),
                json!({ "data": { "a": "1", "b": "9", "d": "9" }, "hooks": [{ "name": "x", "ca": "old", "port": 9 }] }),
                vec![],
            ),
            (
                "somebody else changed what we changed",
                json!({ "data": { "a": "9", "b": "1" }, "hooks": [{ "name": "x", "ca": "new", "port": 1 }] }),
                json!({ "data": { "a": "9", "b": "1" }, "hooks": [{ "name": "x", "ca": "old", "port": 1 }] }),
                vec!["data.a"],
            ),
            (
                "a list got an element",
                json!({ "data": { "a": "2", "b": "1", "c": "2" }, "hooks": [{ "name": "x", "ca": "new", "port": 1 }, { "name": "y" }] }),
                json!({ "data": { "a": "1", "b": "1" }, "hooks": [{ "name": "x", "ca": "old", "port": 1 }, { "name": "y" }] }),
                vec![],
            ),
        ];
        for (what, now, wanted, expected) in table {
            let mut lost = Vec::new();
            assert_eq!(back(&before, std::slice::from_ref(&ours), &now, &mut lost), wanted, "{what}");
            assert_eq!(lost, expected, "{what}");
        }
    }

    #[test]
    fn what_any_of_several_changes_left_is_ours() {
        let ours = [json!({ "a": 2, "b": 1 }), json!({ "a": 3, "b": 3 })];
        let mut lost = Vec::new();
        assert_eq!(
            back(&json!({ "a": 1, "b": 1 }), &ours, &json!({ "a": 2, "b": 3 }), &mut lost),
            json!({ "a": 1, "b": 1 })
        );
        assert!(lost.is_empty());
    }
}
