//! Who may connect to the pods, and, where it is asked for, where they may connect to.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use url::Url;

use super::{CLIENT_PORT, External, Names, OPERATOR, Object, full, local};
use crate::{crd::NetworkPolicyMode, validate::Stack};

/// Port of Redis where an address names none.
const REDIS_PORT: u16 = 6379;

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
    let outside: Vec<_> = std::iter::once(dns()).chain(ports_outside(names).into_iter().map(port)).collect();
    let rules = |component, ingress| Rules { component, ingress, egress: outside.clone() };
    match &names.0.stack {
        Stack::Embedded(_) => vec![rules(local::COMPONENT, vec![port(CLIENT_PORT)])],
        Stack::Full(_) => {
            let mut all = vec![
                rules(full::PROVISION, Vec::new()),
                rules(full::GATEWAY, vec![port(CLIENT_PORT), administration()]),
            ];
            all.extend(full::roles(names.0).iter().map(|role| rules(role.kind.name(), vec![administration()])));
            all
        }
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

/// Ports of what the manifest names by address: engines, issuers of tokens, the collector of traces; and of the push
/// vendors.
fn ports_outside(names: &Names<'_>) -> BTreeSet<u16> {
    let spec = &names.0.spec;
    let issuers = spec.gateways.auth.verifiers.iter().filter_map(|verifier| verifier.jwks.as_ref());
    let addresses = issuers.map(|jwks| &jwks.url).chain(spec.telemetry.otlp.iter().map(|otlp| &otlp.endpoint));
    let mut ports: BTreeSet<u16> = addresses.filter_map(|address| url_port(address)).collect();
    if let Stack::Full(engines) = &names.0.stack {
        ports.extend(engines.kafka.external.bootstrap_servers.iter().filter_map(|server| last_port(server)));
        let points = engines.cassandra.external.contact_points.iter();
        ports.extend(points.map(|point| last_port(point).unwrap_or(full::CASSANDRA_PORT)));
        if let Some(External { redis, .. }) = External::of(engines) {
            ports.extend(redis.urls.iter().map(|url| last_port(url).unwrap_or(REDIS_PORT)));
        }
        ports.extend(engines.search.iter().filter_map(|(servers, _)| url_port(&servers.url)));
        ports.extend(spec.push.is_enabled().then_some(443));
    }
    ports
}

fn url_port(address: &str) -> Option<u16> {
    Url::parse(address).ok()?.port_or_known_default()
}

fn last_port(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.parse().ok()
}

/// The admin port, from the operator and from Prometheus, wherever they are.
fn administration() -> Value {
    let pods = |name: &str| json!({ "namespaceSelector": {}, "podSelector": { "matchLabels": { "app.kubernetes.io/name": name } } });
    json!({
        "from": [pods(OPERATOR), pods("prometheus")],
        "ports": [{ "protocol": "TCP", "port": full::ADMIN_PORT }],
    })
}

/// A port, from or to anywhere.
fn port(port: u16) -> Value {
    json!({ "ports": [{ "protocol": "TCP", "port": port }] })
}

fn dns() -> Value {
    json!({ "ports": [{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }] })
}
