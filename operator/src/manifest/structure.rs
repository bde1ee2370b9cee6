//! The structural half of an `OpenAPI` schema: types, known fields and bounds.
//!
//! Covers the keywords that occur in our own definition, which a test pins.

use std::collections::HashMap;

use regex::Regex;
use serde_json::{Map, Value};

use super::Problem;

/// Closest distance at which a known field is offered for an unknown one, from 0 (nothing alike) to 1 (the same).
const ALIKE: f64 = 0.8;

/// Removes fields that are `null`, which the API server takes for absent.
pub(super) fn remove_nulls(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            for (name, field) in fields {
                remove_nulls(schema["properties"].get(name).unwrap_or_else(|| &schema["additionalProperties"]), field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| remove_nulls(&schema["items"], item)),
        _ => {}
    }
}

/// Returns all that is wrong with a value, each with its path.
pub(super) fn check(schema: &Value, value: &Value) -> Vec<Problem> {
    let mut walk = Walk { problems: Vec::new(), patterns: HashMap::new() };
    walk.value(schema, value, "");
    walk.problems
}

struct Walk<'schema> {
    problems: Vec<Problem>,
    patterns: HashMap<&'schema str, Option<Regex>>,
}

impl<'schema> Walk<'schema> {
    fn report(&mut self, path: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(path, message));
    }

    fn value(&mut self, schema: &'schema Value, value: &Value, path: &str) {
        if !has_type(schema, value) {
            let expected = expected_type(schema);
            let hint =
                if schema["type"] == "string" && !value.is_object() && !value.is_array() { ": quote it" } else { "" };
            return self.report(path, format!("must be {expected}, is {}{hint}", shown(value)));
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            let allowed: Vec<_> = allowed.iter().map(plain).collect();
            self.report(path, format!("must be {}, is {}", one_of(&allowed), shown(value)));
        }
        match value {
            Value::String(text) => self.text(schema, text, path),
            Value::Number(number) => self.number(schema, number.as_f64(), path),
            Value::Array(items) => self.list(schema, items, path),
            Value::Object(fields) => self.object(schema, fields, path),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn text(&mut self, schema: &'schema Value, text: &str, path: &str) {
        self.bounds(schema, ("minLength", "maxLength"), text.chars().count(), "characters", path);
        let Some(pattern) = schema["pattern"].as_str() else { return };
        let regex = self.patterns.entry(pattern).or_insert_with(|| Regex::new(pattern).ok());
        if !regex.as_ref().is_some_and(|regex| regex.is_match(text)) {
            self.report(path, format!("must match {pattern}, is {text:?}"));
        }
    }

    fn number(&mut self, schema: &Value, number: Option<f64>, path: &str) {
        let Some(number) = number else { return };
        if let Some(least) = schema["minimum"].as_f64()
            && number < least
        {
            self.report(path, format!("must be at least {least}, is {number}"));
        }
        if let Some(most) = schema["maximum"].as_f64()
            && number > most
        {
            self.report(path, format!("must be at most {most}, is {number}"));
        }
    }

    fn list(&mut self, schema: &'schema Value, items: &[Value], path: &str) {
        self.bounds(schema, ("minItems", "maxItems"), items.len(), "items", path);
        self.duplicates(schema, items, path);
        for (index, item) in items.iter().enumerate() {
            self.value(&schema["items"], item, &format!("{path}[{index}]"));
        }
    }

    /// Reports items of a set that occur twice, and items of a list-map whose keys do.
    fn duplicates(&mut self, schema: &Value, items: &[Value], path: &str) {
        let keys: Vec<_> = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => Vec::new(),
            Some("map") => schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().collect(),
            _ => return,
        };
        let identity = |item: &Value| match keys.as_slice() {
            [] => vec![item.clone()],
            keys => keys.iter().filter_map(|key| item.get(key.as_str()?).cloned()).collect(),
        };
        let identities: Vec<_> = items.iter().map(identity).collect();
        for (index, identity) in identities.iter().enumerate() {
            if identities[..index].contains(identity) {
                let repeated: Vec<_> = identity.iter().map(shown).collect();
                self.report(&format!("{path}[{index}]"), format!("repeats {}", repeated.join(", ")));
            }
        }
    }

    fn object(&mut self, schema: &'schema Value, fields: &Map<String, Value>, path: &str) {
        self.bounds(schema, ("minProperties", "maxProperties"), fields.len(), "entries", path);
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                self.report(&field_path(path, name), "is required");
            }
        }
        for (name, value) in fields {
            if let Some(field) = schema["properties"].get(name) {
                self.value(field, value, &field_path(path, name));
            } else if schema["additionalProperties"].is_object() {
                self.value(&schema["additionalProperties"], value, &format!("{path}[{name}]"));
            } else if schema["x-kubernetes-preserve-unknown-fields"] != Value::Bool(true) {
                self.report(&field_path(path, name), unknown(name, &schema["properties"]));
            }
        }
    }

    fn bounds(&mut self, schema: &Value, keys: (&str, &str), size: usize, unit: &str, path: &str) {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        if let Some(least) = schema[keys.0].as_u64()
            && size < least
        {
            self.report(path, format!("must have at least {least} {unit}, has {size}"));
        }
        if let Some(most) = schema[keys.1].as_u64()
            && size > most
        {
            self.report(path, format!("must have at most {most} {unit}, has {size}"));
        }
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    if schema["x-kubernetes-int-or-string"] == Value::Bool(true) {
        return value.is_string() || value.is_i64() || value.is_u64();
    }
    match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    }
}

fn expected_type(schema: &Value) -> &'static str {
    match schema["type"].as_str() {
        Some("string") => "a string",
        Some("integer") => "a whole number",
        Some("number") => "a number",
        Some("boolean") => "true or false",
        Some("array") => "a list",
        Some("object") => "a mapping",
        _ => "a quantity, as in 500m or 2Gi",
    }
}

fn unknown(name: &str, properties: &Value) -> String {
    let known = properties.as_object().into_iter().flatten().map(|(known, _)| known);
    let closest = known
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    match closest {
        Some((_, known)) => format!("is not a known field; did you mean `{known}`?"),
        None => "is not a known field".to_owned(),
    }
}

fn field_path(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn one_of(allowed: &[String]) -> String {
    match allowed {
        [only] => only.clone(),
        _ => format!("one of {}", allowed.join(", ")),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Shows a value in a message: short ones as they are, lists and mappings by their kind.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
        Value::String(text) if text.chars().count() > 64 => "a long string".to_owned(),
        _ => value.to_string(),
    }
}
