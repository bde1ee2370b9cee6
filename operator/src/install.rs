//! The operator's own manifests: what `kubectl apply` installs, and what the chart is made of.

use serde_json::{Value, json};

use crate::build::OPERATOR;
use crate::rbac;

/// Namespace that the plain manifests install into.
pub const NAMESPACE: &str = "chat-system";

/// Port of probes and metrics.
const PORT: u16 = 9090;

/// Returns the objects that run the operator of this version in a namespace, for the clusters of that namespace. The
/// definition is not among them.
pub fn objects(namespace: &str) -> Vec<Value> {
    let labels = json!({ "app.kubernetes.io/name": OPERATOR });
    let metadata = json!({ "name": OPERATOR, "namespace": namespace, "labels": labels });
    let mut objects = vec![
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": namespace, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
        }),
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }),
    ];
    objects.extend(rbac::grant(namespace, namespace));
    objects.push(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            // Another one would stand by; a crashed one is back before a lease runs out.
            "replicas": 1,
            "strategy": { "type": "Recreate" },
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": pod(namespace) },
        },
    }));
    objects
}

fn pod(namespace: &str) -> Value {
    json!({
        "serviceAccountName": OPERATOR,
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{
            "name": OPERATOR,
            "image": concat!("chat-operator:", env!("CARGO_PKG_VERSION")),
            "args": ["run", "--namespace", namespace, "--lease-namespace", namespace],
            "env": [{ "name": "CHAT_POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }],
            "ports": [{ "name": "admin", "containerPort": PORT }],
            "startupProbe": { "httpGet": { "path": "/healthz", "port": "admin" }, "periodSeconds": 2, "failureThreshold": 30 },
            "readinessProbe": { "httpGet": { "path": "/readyz", "port": "admin" } },
            "livenessProbe": { "httpGet": { "path": "/healthz", "port": "admin" }, "timeoutSeconds": 5 },
            "resources": { "requests": { "cpu": "50m", "memory": "64Mi" }, "limits": { "memory": "256Mi" } },
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
            },
        }],
    })
}
