//! What is generated from the source lies in the tree fresh: `UPDATE_GENERATED=1 cargo test -p operator --test generated`
//! writes it anew.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::path::Path;

use operator::{crd, install, rbac, status::ConditionReason, validate::FaultReason};
use serde_json::Value;

const NOTE: &str = "# Generated from operator/src; see operator/tests/generated.rs.\n";

fn documents(objects: &[Value]) -> String {
    let texts: Vec<String> = objects.iter().map(|object| serde_yaml::to_string(object).unwrap()).collect();
    format!("{NOTE}{}", texts.join("---\n"))
}

/// The definition as the chart installs it: it stays when the chart goes, and with it all clusters.
fn kept_definition() -> String {
    let text = crd::yaml();
    let kept = text.replacen("metadata:\n", "metadata:\n  annotations:\n    helm.sh/resource-policy: keep\n", 1);
    assert_ne!(text, kept);
    kept
}

#[test]
fn generated_files_are_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let files = [
        ("deploy/chat-operator.yaml", documents(&install::objects(install::NAMESPACE))),
        ("charts/chat-operator/files/crd.yaml", kept_definition()),
        ("charts/chat-operator/files/tenant-rules.yaml", serde_yaml::to_string(&rbac::tenant_rules()).unwrap()),
        ("charts/chat-operator/files/own-rules.yaml", serde_yaml::to_string(&rbac::own_rules()).unwrap()),
    ];
    for (path, wanted) in files {
        let path = root.join(path);
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == wanted,
            "{} is stale: UPDATE_GENERATED=1 cargo test -p operator --test generated",
            path.display()
        );
    }
}

#[test]
fn the_operator_asks_for_no_more_rights_than_it_uses() {
    for rule in rbac::tenant_rules() {
        let has = |field: &str, word: &str| rule[field].as_array().unwrap().iter().any(|it| it == word);
        assert!(!has("verbs", "*") && !has("resources", "*") && !has("apiGroups", "*"), "{rule}");
        if has("resources", "secrets") {
            assert_eq!(rule["verbs"], serde_json::json!(["get", "create"]), "secrets are neither listed nor changed");
        }
        if has("resources", "chatclusters") {
            assert!(!has("verbs", "update") && !has("verbs", "patch"), "the manifest is its author's");
        }
    }
}

#[test]
fn every_reason_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operator.md");
    let text = std::fs::read_to_string(path).unwrap();
    let conditions = ConditionReason::ALL.iter().map(|reason| (reason.name(), reason.meaning()));
    let faults = FaultReason::ALL.iter().map(|reason| (reason.name(), reason.meaning()));
    for (name, meaning) in conditions.chain(faults) {
        let row = format!("| `{name}` | {meaning} |");
        assert!(text.contains(&row), "docs/operator.md lacks: {row}");
    }
}
