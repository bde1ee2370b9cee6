//! One object of a Kubernetes cluster.

use serde::Serialize;
use serde_json::Value;

/// Holds one object in the shape of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Object(Value);

impl Object {
    /// Takes a manifest: `apiVersion`, `kind` and `metadata.name` are there. Fields that say nothing (`null`) go.
    pub fn new(mut manifest: Value) -> Self {
        remove_nulls(&mut manifest);
        Self(manifest)
    }

    /// Returns group and version, as in `apps/v1`.
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// Returns the kind.
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// Returns the manifest.
    pub const fn manifest(&self) -> &Value {
        &self.0
    }

    /// Tells whether two are the same object, however they look. The version of an API does not count.
    pub fn is(&self, other: &Self) -> bool {
        let group = |object: &Self| object.api_version().rsplit_once('/').map_or(String::new(), |it| it.0.to_owned());
        self.kind() == other.kind() && self.name() == other.name() && group(self) == group(other)
    }

    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}
