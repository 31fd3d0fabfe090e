//! Paths into objects, as scenarios write them: `spec.containers[app].env[A].value`, `metadata.labels[a.b/c]`.

use serde_json::Value;

/// The value at a path. `[x]` is an entry of a map, the element of a list whose `name` is `x`, or the element of that
/// number.
pub fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut found = object;
    let mut rest = path;
    while !rest.is_empty() {
        let key;
        if let Some(bracketed) = rest.strip_prefix('[') {
            let end = bracketed.find(']')?;
            (key, rest) = (&bracketed[..end], &bracketed[end + 1..]);
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            (key, rest) = (&rest[..end], &rest[end..]);
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        found = match found {
            Value::Object(map) => map.get(key)?,
            Value::Array(items) => {
                items.iter().find(|item| item["name"] == key).or_else(|| items.get(key.parse::<usize>().ok()?))?
            }
            _ => return None,
        };
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_goes_through_maps_named_elements_and_numbers() {
        let object = json!({ "spec": { "containers": [{ "name": "a" }, { "name": "app", "env": [{ "name": "X", "value": "1" }] }] },
            "metadata": { "labels": { "a.b/c": "d" } } });
        assert_eq!(at(&object, "spec.containers[app].env[X].value"), Some(&json!("1")));
        assert_eq!(at(&object, "spec.containers[0].name"), Some(&json!("a")));
        assert_eq!(at(&object, "metadata.labels[a.b/c]"), Some(&json!("d")));
        for nowhere in ["spec.containers[none]", "spec.x.y", "metadata.labels[a", "spec.containers[9]"] {
            assert_eq!(at(&object, nowhere), None, "{nowhere}");
        }
    }
}
