//! From YAML to the JSON an API server sees.

use serde::Deserialize as _;
use serde_json::{Map, Number, Value};

use super::Problem;

/// Reads the one document of a manifest. Duplicate keys, which YAML libraries love to merge in silence, are refused.
pub(super) fn read(yaml: &str) -> Result<Value, Problem> {
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_str(yaml) {
        let document = serde_yaml::Value::deserialize(document).map_err(|error| malformed(&error))?;
        if !document.is_null() {
            documents.push(document);
        }
    }
    match (documents.pop(), documents.len()) {
        (None, _) => Err(Problem::new("", "the manifest is empty: it must hold one ChatCluster")),
        (Some(document), 0) => to_json(document, ""),
        (Some(_), more) => Err(Problem::new("", format!("holds {} documents: give one ChatCluster alone", more + 1))),
    }
}

fn malformed(error: &serde_yaml::Error) -> Problem {
    let line = error.location().map(|location| location.line());
    Problem { line, ..Problem::new("", format!("cannot be read as YAML: {error}")) }
}

fn to_json(value: serde_yaml::Value, path: &str) -> Result<Value, Problem> {
    Ok(match value {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(value) => value.into(),
        serde_yaml::Value::String(value) => value.into(),
        serde_yaml::Value::Number(value) => {
            number(&value).ok_or_else(|| Problem::new(path, format!("{value} is not a number JSON can hold")))?.into()
        }
        serde_yaml::Value::Sequence(items) => {
            let items = items.into_iter().enumerate();
            items.map(|(index, item)| to_json(item, &format!("{path}[{index}]"))).collect::<Result<_, _>>()?
        }
        serde_yaml::Value::Mapping(fields) => {
            let mut object = Map::with_capacity(fields.len());
            for (key, value) in fields {
                let serde_yaml::Value::String(key) = key else {
                    return Err(Problem::new(path, "has a key that is not a string: quote it"));
                };
                let field = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                object.insert(key, to_json(value, &field)?);
            }
            object.into()
        }
        serde_yaml::Value::Tagged(tagged) => {
            return Err(Problem::new(path, format!("has the YAML tag {}, which JSON does not know", tagged.tag)));
        }
    })
}

fn number(value: &serde_yaml::Number) -> Option<Number> {
    if let Some(whole) = value.as_i64() {
        return Some(whole.into());
    }
    value.as_u64().map(Number::from).or_else(|| value.as_f64().and_then(Number::from_f64))
}
