//! The rights of the operator, and of the namespaces whose clusters it runs. The same lists make the chart and the plain
//! manifests.

use serde_json::{Value, json};

use crate::build::OPERATOR;
use crate::children::KINDS;

/// Name of the rights inside a namespace whose clusters are run.
pub const TENANT: &str = "chat-operator-tenant";

/// Returns the rules for a namespace whose clusters are run: no Secret is listed or watched, and none that is there is changed.
pub fn tenant_rules() -> Vec<Value> {
    let mut rules = vec![
        rule(&["chatcluster.dev"], &["chatclusters"], &["get", "list", "watch"]),
        rule(&["chatcluster.dev"], &["chatclusters/status"], &["patch"]),
        rule(&[""], &["secrets"], &["get", "create"]),
        rule(&[""], &["pods"], &["list", "patch"]),
        rule(&["events.k8s.io"], &["events"], &["create", "patch"]),
    ];
    let mut groups: Vec<&str> = KINDS.iter().map(|kind| kind.group).collect();
    groups.sort_unstable();
    groups.dedup();
    for group in groups {
        let kinds = KINDS.iter().filter(|kind| kind.group == group);
        let resources: Vec<&str> = kinds.map(|kind| kind.plural).collect();
        rules.push(rule(&[group], &resources, &["get", "list", "watch", "create", "patch", "delete"]));
    }
    rules
}

/// Returns the rules for the operator's own namespace.
pub fn own_rules() -> Vec<Value> {
    vec![rule(&["coordination.k8s.io"], &["leases"], &["get", "create", "update"])]
}

/// Returns the objects that let the operator of `operator_namespace` run the clusters of `namespace`.
pub fn grant(namespace: &str, operator_namespace: &str) -> Vec<Value> {
    let mut objects = bound(TENANT, namespace, operator_namespace, &tenant_rules());
    if namespace == operator_namespace {
        objects.extend(bound(OPERATOR, namespace, operator_namespace, &own_rules()));
    }
    objects
}

fn bound(name: &str, namespace: &str, operator_namespace: &str, rules: &[Value]) -> Vec<Value> {
    let metadata = json!({ "name": name, "namespace": namespace, "labels": { "app.kubernetes.io/name": OPERATOR } });
    vec![
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": OPERATOR, "namespace": operator_namespace }],
        }),
    ]
}

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({ "apiGroups": groups, "resources": resources, "verbs": verbs })
}
