//! Who may connect to the pods, and, where it is asked for, where they may connect to.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use url::Url;

use super::{CLIENT_PORT, Names, Object, local};
use crate::{crd::NetworkPolicyMode, validate::Stack};

/// What a policy lets pass.
struct Rules {
    component: &'static str,
    ingress: Vec<Value>,
    egress: Vec<Value>,
}

pub(super) fn objects(names: &Names<'_>) -> Vec<Object> {
    let full = match names.0.spec.network_policy.mode {
        NetworkPolicyMode::None => return Vec::new(),
        NetworkPolicyMode::Ingress => false,
        NetworkPolicyMode::Full => true,
    };
    rules(names).into_iter().map(|rules| policy(names, rules, full)).collect()
}

fn rules(names: &Names<'_>) -> Vec<Rules> {
    match &names.0.stack {
        Stack::Embedded(_) => {
            vec![Rules {
                component: local::COMPONENT,
                ingress: vec![port(CLIENT_PORT)],
                egress: std::iter::once(dns()).chain(outside(names).into_iter().map(port)).collect(),
            }]
        }
        Stack::Full(_) => Vec::new(),
    }
}

fn policy(names: &Names<'_>, rules: Rules, full: bool) -> Object {
    Object::new(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": names.metadata(&names.of(rules.component), rules.component),
        "spec": {
            "podSelector": { "matchLabels": names.selector(rules.component) },
            "policyTypes": if full { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) },
            "ingress": rules.ingress,
            "egress": full.then_some(rules.egress),
        },
    }))
}

/// Ports of what the manifest names by address: issuers of tokens, and the collector of traces.
fn outside(names: &Names<'_>) -> BTreeSet<u16> {
    let spec = &names.0.spec;
    let issuers = spec.gateways.auth.verifiers.iter().filter_map(|verifier| verifier.jwks.as_ref());
    let addresses = issuers.map(|jwks| &jwks.url).chain(spec.telemetry.otlp.iter().map(|otlp| &otlp.endpoint));
    addresses.filter_map(|address| Url::parse(address).ok()?.port_or_known_default()).collect()
}

/// A port, from or to anywhere.
fn port(port: u16) -> Value {
    json!({ "ports": [{ "protocol": "TCP", "port": port }] })
}

fn dns() -> Value {
    json!({ "ports": [{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }] })
}
