//! Offline check of a manifest, exactly as the API server would check it.
//!
//! The order is the API server's: the document is decoded strictly (no field the schema does not know), `null` is taken
//! for absent, defaults are filled in, the structural schema is checked, and last come the CEL rules. The schema is the
//! one in the definition itself, so the check here and the check in a cluster cannot drift. Unlike the API server this
//! reports everything it finds at once, rules included.

mod document;
mod lines;
mod structure;

use std::{fmt, sync::LazyLock};

use kube::core::cel::{self, CompiledSchema, ErrorKind, ValidationError};
use serde_json::{Value, json};

use crate::crd::{self, ChatCluster};

/// Names one thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line of the manifest, from 1; that of the nearest enclosing field when the field itself is absent.
    pub line: Option<usize>,
    /// Field, as in `spec.gateways.auth.verifiers[0].name`; empty for the document as a whole.
    pub path: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl Problem {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { line: None, path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.message)
    }
}

/// Reads a manifest that is to be created.
///
/// Defaults of the schema are filled in. A `status` is ignored, as the API server ignores it.
///
/// ```
/// let manifest = "
/// apiVersion: chatcluster.dev/v1alpha1
/// kind: ChatCluster
/// metadata: {name: demo}
/// spec: {version: 0.1.0, engines: {embedded: {}}, gateways: {autoscaling: {min: 60}}}
/// ";
/// let problems = operator::manifest::parse(manifest).unwrap_err();
/// assert_eq!(
///     problems[0].to_string(),
///     "line 5: spec.gateways.autoscaling.min: may not exceed `max` (defaults: min 2, max 50)"
/// );
/// ```
///
/// # Errors
///
/// Everything that is wrong with it, in the order of its lines; never empty.
pub fn parse(yaml: &str) -> Result<ChatCluster, Vec<Problem>> {
    read(yaml, None)
}

/// Reads a manifest that is to replace `old`: checks also what may not change.
///
/// # Errors
///
/// Everything that is wrong with it, in the order of its lines; never empty.
pub fn parse_update(old: &ChatCluster, yaml: &str) -> Result<ChatCluster, Vec<Problem>> {
    let mut old =
        serde_json::to_value(old).map_err(|error| vec![Problem::new("", format!("the old object: {error}"))])?;
    remove_status(&mut old);
    read(yaml, Some(&old))
}

fn read(yaml: &str, old: Option<&Value>) -> Result<ChatCluster, Vec<Problem>> {
    let mut document = document::read(yaml).map_err(|problem| vec![problem])?;
    let lines = lines::scan(yaml);
    lines.apply_flags(&mut document);
    check(document, old).map_err(|mut problems| {
        for problem in &mut problems {
            problem.line = lines.nearest(&problem.path);
        }
        problems.sort();
        problems.dedup();
        problems
    })
}

fn check(mut object: Value, old: Option<&Value>) -> Result<ChatCluster, Vec<Problem>> {
    let kind = &object["kind"];
    if kind.is_string() && kind != "ChatCluster" {
        return Err(vec![Problem::new("kind", format!("must be ChatCluster, is {kind}"))]);
    }
    structure::remove_nulls(&MANIFEST, &mut object);
    let mut object = cel::apply_defaults(crd::schema(), &object);
    let mut problems = structure::check(&MANIFEST, &object);
    let broken = broken_rules(&object, old, &problems);
    problems.extend(broken);
    if !problems.is_empty() {
        return Err(problems);
    }
    remove_status(&mut object);
    serde_json::from_value(object).map_err(|error| vec![Problem::new("", error.to_string())])
}

/// Evaluates the rules. Those that cannot be evaluated because of what is `malformed`, or that are broken because of it,
/// say nothing: one mistake is reported once.
fn broken_rules(object: &Value, old: Option<&Value>, malformed: &[Problem]) -> Vec<Problem> {
    let Err(errors) = cel::validate_compiled(&RULES, object, old) else { return Vec::new() };
    errors
        .into_iter()
        .filter(|error| malformed.is_empty() || error.kind == ErrorKind::ValidationFailure)
        .filter(|error| !malformed.iter().any(|problem| depends_on(error, &problem.path)))
        .map(|error| Problem::new(error.field_path.trim_start_matches('.'), error.message))
        .collect()
}

/// Tells whether a rule is about a malformed field, lies inside it, or reads it.
fn depends_on(error: &ValidationError, malformed: &str) -> bool {
    let blamed = error.field_path.as_str();
    let inside = blamed.strip_prefix(malformed).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    let reads = malformed.match_indices('.').any(|(dot, _)| {
        let (scope, field) = malformed.split_at(dot);
        blamed.starts_with(scope) && error.rule.contains(&format!("self{field}"))
    });
    inside || reads
}

fn remove_status(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
}

static RULES: LazyLock<CompiledSchema> = LazyLock::new(|| cel::compile_schema(crd::schema()));

/// Schema of a whole manifest: that of the definition, and what the API server checks for every kind.
static MANIFEST: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = crd::schema().clone();
    let name = schema["properties"]["metadata"]["properties"]["name"].clone();
    schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
    schema["properties"]["apiVersion"] = json!({ "type": "string", "enum": ["chatcluster.dev/v1alpha1"] });
    schema["properties"]["kind"] = json!({ "type": "string", "enum": ["ChatCluster"] });
    schema["properties"]["status"] = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    schema["properties"]["metadata"] = metadata(&name);
    schema
});

/// Schema of `metadata`, without what only a server writes.
fn metadata(name: &Value) -> Value {
    const LABEL_VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";
    const NAMESPACE: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
    let server = json!({ "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": name,
            "namespace": { "type": "string", "maxLength": 63, "pattern": NAMESPACE },
            "labels": {
                "type": "object",
                "additionalProperties": { "type": "string", "maxLength": 63, "pattern": LABEL_VALUE },
            },
            "annotations": { "type": "object", "additionalProperties": { "type": "string" } },
            "finalizers": { "type": "array", "items": { "type": "string" } },
            "generateName": { "type": "string" },
            "resourceVersion": { "type": "string" },
            "uid": { "type": "string" },
            "generation": { "type": "integer" },
            "deletionGracePeriodSeconds": { "type": "integer" },
            "creationTimestamp": server,
            "deletionTimestamp": server,
            "managedFields": server,
            "ownerReferences": server,
            "selfLink": server,
        },
    })
}
