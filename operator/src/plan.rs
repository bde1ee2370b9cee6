//! What differs between an object that is wanted and the one that is there. Pure.
//!
//! Only what is wanted counts: fields that others added are theirs, and defaults that the API server filled in are no
//! difference. So an object that is as wanted is not written again, whatever else it says.

use serde::Serialize;
use serde_json::Value;

/// One field that is not as wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The field, as in `spec.template.spec.containers[local].image`.
    pub path: String,
    /// What it says; `None` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What it should say.
    pub to: Value,
}

/// Lists the fields of a live object that are not as wanted, in the order of the fields.
pub fn changes(wanted: &Value, live: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare("", wanted, Some(live), &mut found);
    found
}

fn compare(path: &str, wanted: &Value, live: Option<&Value>, found: &mut Vec<Change>) {
    let changed = match (wanted, live) {
        (Value::Object(fields), Some(Value::Object(others))) => {
            for (name, field) in fields {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(&inner, field, others.get(name), found);
            }
            false
        }
        (Value::Array(items), Some(Value::Array(others))) => list(path, items, others, found),
        (Value::Array(items), None) => !items.is_empty(),
        (Value::Object(fields), None) => !fields.is_empty(),
        (Value::String(text), Some(Value::String(other))) => text != other && !same_quantity(text, other),
        (wanted, live) => Some(wanted) != live,
    };
    if changed {
        found.push(Change { path: path.to_owned(), from: live.cloned(), to: wanted.clone() });
    }
}

/// Compares lists: by the name of their items, which is how the API server merges them, else item by item. Returns
/// whether they differ as a whole.
fn list(path: &str, items: &[Value], others: &[Value], found: &mut Vec<Change>) -> bool {
    let name = |item: &Value| {
        let key = item.get("name").or_else(|| item.get("uid"));
        key.and_then(Value::as_str).map(str::to_owned)
    };
    if let Some(names) = items.iter().map(name).collect::<Option<Vec<_>>>()
        && !names.is_empty()
    {
        for (item, key) in items.iter().zip(names) {
            let other = others.iter().find(|other| name(other).as_ref() == Some(&key));
            compare(&format!("{path}[{key}]"), item, other, found);
        }
        return false;
    }
    if items.len() != others.len() {
        return true;
    }
    for (index, (item, other)) in items.iter().zip(others).enumerate() {
        compare(&format!("{path}[{index}]"), item, Some(other), found);
    }
    false
}

/// Tells whether two texts are the same quantity: the API server writes `0.5` as `500m`.
fn same_quantity(one: &str, other: &str) -> bool {
    quantity(one).is_some_and(|value| Some(value) == quantity(other))
}

/// Reads a quantity of Kubernetes, in billionths.
fn quantity(text: &str) -> Option<i128> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.is_empty() || whole.len() > 18 || fraction.len() > 9 {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction:0<9}").parse().ok()?;
    let (factor, divisor): (i128, i128) = match unit {
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "" => (1, 1),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        _ => return None,
    };
    digits.checked_mul(factor).map(|value| value / divisor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(wanted: &Value, live: &Value) -> Vec<String> {
        changes(wanted, live).into_iter().map(|change| change.path).collect()
    }

    #[test]
    fn what_others_added_is_theirs() {
        let live = json!({"spec": {"replicas": 2, "clusterIP": "10.0.0.1"}, "status": {"ready": 1}});
        assert!(changes(&json!({"spec": {"replicas": 2}}), &live).is_empty());
    }

    #[test]
    fn a_field_that_differs_or_lacks_is_named() {
        let live = json!({"spec": {"replicas": 3, "template": {"labels": {"a": "1"}}}});
        let wanted = json!({"spec": {"replicas": 2, "template": {"labels": {"a": "1", "b": "2"}}}});
        assert_eq!(paths(&wanted, &live), ["spec.replicas", "spec.template.labels.b"]);
    }

    #[test]
    fn named_items_are_found_wherever_they_stand() {
        let wanted = json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]});
        let live = json!({"env": [{"name": "X"}, {"name": "B", "value": "3"}, {"name": "A", "value": "1"}]});
        assert_eq!(paths(&wanted, &live), ["env[B].value"]);
    }

    #[test]
    fn a_list_without_names_is_as_wanted_only_as_a_whole() {
        assert_eq!(paths(&json!({"args": ["a"]}), &json!({"args": ["a", "b"]})), ["args"]);
        assert_eq!(paths(&json!({"args": ["a", "c"]}), &json!({"args": ["a", "b"]})), ["args[1]"]);
    }

    #[test]
    fn nothing_and_what_is_empty_are_the_same() {
        assert!(changes(&json!({"ingress": [], "labels": {}}), &json!({})).is_empty());
    }

    #[test]
    fn quantities_are_compared_by_value() {
        for (one, other) in [("0.5", "500m"), ("1000m", "1"), ("2.5Gi", "2560Mi"), ("1Gi", "1024Mi")] {
            assert!(changes(&json!({"cpu": one}), &json!({"cpu": other})).is_empty(), "{one} and {other}");
        }
        for (one, other) in [("1", "2"), ("1G", "1Gi"), ("info", "warn"), ("1x", "1")] {
            assert_eq!(paths(&json!({"cpu": one}), &json!({"cpu": other})), ["cpu"], "{one} and {other}");
        }
    }
}
