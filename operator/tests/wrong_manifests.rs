//! A complete manifest, broken in one place at a time: each is refused, with the field and its line.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

#[path = "wrong_manifests/table.rs"]
mod table;

use operator::manifest;
use serde_json::Value;

use table::{COMPLETE, Mutation, break_at, mutations};

#[test]
fn the_complete_manifest_is_valid_and_names_every_field() {
    let cluster = manifest::parse(COMPLETE).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(cluster.metadata.namespace.as_deref(), Some("chat"));
    assert_eq!(manifest::parse(&serde_yaml::to_string(&cluster).unwrap()).unwrap(), cluster);

    let complete: Value = serde_yaml::from_str(COMPLETE).unwrap();
    // The other members of unions, and Kubernetes' own types.
    let left_out = ["engines", "httpRoute", "disabled", "external", "affinity", "podTemplate", "resources"];
    let mut missing = Vec::new();
    missing_fields(&operator::crd::schema()["properties"]["spec"], &complete["spec"], "spec", &left_out, &mut missing);
    assert!(missing.is_empty(), "complete.yaml lacks {missing:?}");
}

fn missing_fields(schema: &Value, value: &Value, path: &str, left_out: &[&str], missing: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match value.get(name) {
            Some(value) if !left_out.contains(&name.as_str()) => missing_fields(field, value, &path, left_out, missing),
            None if !left_out.contains(&name.as_str()) => missing.push(path),
            _ => {}
        }
    }
}

#[test]
fn there_are_a_hundred_of_them() {
    assert!(mutations().len() >= 100, "{}", mutations().len());
}

#[test]
fn each_is_refused_at_the_right_field() {
    let complete: Value = serde_yaml::from_str(COMPLETE).unwrap();
    let mut surprises = Vec::new();
    for Mutation { field, value, blamed } in mutations() {
        let mut wrong = complete.clone();
        let new = (value != "absent").then(|| serde_yaml::from_str(value).unwrap());
        break_at(&mut wrong, field, new);
        let found = match manifest::parse(&serde_yaml::to_string(&wrong).unwrap()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems,
        };
        let paths: Vec<_> = found.iter().map(|problem| problem.path.as_str()).collect();
        let has_lines = found.iter().all(|problem| problem.line.is_some());
        if paths != [blamed] || !has_lines {
            surprises.push(format!("{field} = {value}: {found:#?}"));
        }
    }
    assert!(surprises.is_empty(), "{} surprises:\n{}", surprises.len(), surprises.join("\n"));
}

#[test]
fn all_problems_are_reported_in_the_order_of_their_lines() {
    let problems = manifest::parse(
        "apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata: {name: demo}
spec:
  verison: 0.1.0
  gateways:
    autoscaling: {min: 5, max: 3}
    drain:
      deadlineSeconds: 5m
  paused: maybe",
    )
    .unwrap_err();
    let shown: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "line 4: spec.engines: no engine is given: write `engines: {embedded: {}}` for a quick start in one pod, or \
             give all of `redis`, `kafka`, `cassandra` and `search` for a full cluster",
            "line 4: spec.version: is required",
            "line 5: spec.verison: is not a known field; did you mean `version`?",
            "line 7: spec.gateways.autoscaling.min: may not exceed `max` (defaults: min 2, max 50)",
            "line 9: spec.gateways.drain.deadlineSeconds: must be a whole number, is \"5m\"",
            "line 10: spec.paused: must be true or false, is \"maybe\"",
        ]
    );
}

#[test]
fn an_unquoted_off_is_refused_as_kubectl_refuses_it() {
    let spec = |team: &str| COMPLETE.replace("{ team: a }", &format!("{{ team: {team} }}"));
    assert!(manifest::parse(&spec("'off'")).is_ok());
    let problems = manifest::parse(&spec("off")).unwrap_err();
    assert_eq!(problems[0].path, "spec.gateways.podTemplate.labels[team]");
    assert_eq!(problems[0].message, "must be a string, is false: quote it");
}

#[test]
fn what_is_not_one_yaml_document_is_refused() {
    for (yaml, message) in [
        ("", "the manifest is empty"),
        ("# nothing\n", "the manifest is empty"),
        ("a: [", "cannot be read as YAML"),
        ("kind: ChatCluster\nkind: ChatCluster\n", "duplicate"),
        ("a: 1\n---\nb: 2\n", "holds 2 documents"),
        ("1: 2\n", "a key that is not a string"),
        ("a: .nan\n", "not a number"),
        ("a: !secret b\n", "YAML tag"),
        ("[]", "must be a mapping"),
    ] {
        let problems = manifest::parse(yaml).unwrap_err();
        assert!(problems[0].message.contains(message), "{yaml:?}: {problems:?}");
    }
}
