//! What a cluster refers to: found out by whoever talks to the API server, judged here.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fault::{Fault, FaultReason};
use crate::crd::{ChatClusterSpec, Credentials, SecretKeyRef, Tls};

/// Shortest shared key of tokens, in bytes: HS256 asks for at least the bits of its hash (RFC 7518, section 3.2).
const KEY_BYTES: usize = 32;

/// Holds what was found out about the things a cluster refers to. The default knows nothing and refuses nothing: that
/// is how a manifest is checked offline.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// Secrets that exist, by name: their keys with the length of each value in bytes. Never the values. `None`: nobody
    /// looked.
    pub secrets: Option<BTreeMap<String, BTreeMap<String, usize>>>,
    /// APIs that the cluster serves beside its own. `None`: nobody looked; then those that are asked for are assumed.
    pub apis: Option<Apis>,
    /// Kafka brokers, where they were counted.
    pub brokers: Option<u32>,
    /// Cassandra nodes of the local data centre, where they were counted.
    pub cassandra_nodes: Option<u32>,
    /// Search nodes with data, where they were counted.
    pub search_nodes: Option<u32>,
    /// `status.resolved` so far: what was decided at creation is kept.
    pub kept: BTreeMap<String, Value>,
}

/// Says which optional APIs a Kubernetes cluster serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Apis {
    /// `HTTPRoute` of the Gateway API.
    pub http_route: bool,
    /// `ServiceMonitor` and `PrometheusRule` of the Prometheus operator.
    pub monitoring: bool,
}

/// Names a Secret that a manifest refers to, and the keys it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// Field of the reference.
    pub path: String,
    /// Name of the Secret.
    pub name: String,
    /// Keys it must have, each with the least length of its value in bytes.
    pub keys: Vec<(String, usize)>,
}

impl SecretUse {
    /// Tells whether a Secret with these keys and lengths is as it must be.
    pub fn is_met(&self, found: &BTreeMap<String, usize>) -> bool {
        self.keys.iter().all(|(key, least)| found.get(key).is_some_and(|length| length >= least))
    }
}

/// Lists the Secrets that a manifest refers to: what is to be read, and no more.
pub fn secrets(spec: &ChatClusterSpec) -> Vec<SecretUse> {
    let mut uses = Uses::default();
    for (index, secret) in spec.images.pull_secrets.iter().enumerate() {
        uses.add(format!("spec.images.pullSecrets[{index}]"), &secret.name, &[]);
    }
    if let Some(headers) = spec.telemetry.otlp.as_ref().and_then(|otlp| otlp.headers_secret_ref.as_ref()) {
        uses.key("spec.telemetry.otlp.headersSecretRef".to_owned(), headers, "headers", 1);
    }
    if let Some(redis) = spec.redis.as_ref().and_then(|redis| redis.external.as_ref()) {
        uses.credentials("spec.redis.external", redis.auth.as_ref(), &["password"]);
        uses.tls("spec.redis.external", redis.tls.as_ref());
    }
    if let Some(kafka) = &spec.kafka {
        if let Some(sasl) = &kafka.external.sasl {
            let path = "spec.kafka.external.sasl.secretRef".to_owned();
            uses.add(path, &sasl.secret_ref.name, &[("username", 1), ("password", 1)]);
        }
        uses.tls("spec.kafka.external", kafka.external.tls.as_ref());
    }
    if let Some(cassandra) = &spec.cassandra {
        uses.credentials("spec.cassandra.external", cassandra.external.auth.as_ref(), &["username", "password"]);
        uses.tls("spec.cassandra.external", cassandra.external.tls.as_ref());
    }
    if let Some(search) = spec.search.as_ref().and_then(|search| search.external.as_ref()) {
        uses.credentials("spec.search.external", search.auth.as_ref(), &["username", "password"]);
        uses.tls("spec.search.external", search.tls.as_ref());
    }
    gateways(spec, &mut uses);
    if let Some(apns) = &spec.push.apns {
        uses.key("spec.push.apns.keySecretRef".to_owned(), &apns.key_secret_ref, "key.p8", 1);
    }
    if let Some(fcm) = &spec.push.fcm {
        let path = "spec.push.fcm.serviceAccountSecretRef".to_owned();
        uses.key(path, &fcm.service_account_secret_ref, "service-account.json", 1);
    }
    uses.0
}

fn gateways(spec: &ChatClusterSpec, uses: &mut Uses) {
    let gateways = &spec.gateways;
    if let Some(tls) = &gateways.tls {
        uses.add("spec.gateways.tls.secretName".to_owned(), &tls.secret_name, &[("tls.crt", 1), ("tls.key", 1)]);
    }
    if let Some(token) = &gateways.admin_token_secret_ref {
        uses.key("spec.gateways.adminTokenSecretRef".to_owned(), token, "token", KEY_BYTES);
    }
    for (index, verifier) in gateways.auth.verifiers.iter().enumerate() {
        let path = format!("spec.gateways.auth.verifiers[{index}]");
        if let Some(shared) = &verifier.hs256 {
            uses.key(format!("{path}.hs256.secretRef"), &shared.secret_ref, "key", KEY_BYTES);
        }
        if let Some(authority) = verifier.jwks.as_ref().and_then(|jwks| jwks.ca_secret_ref.as_ref()) {
            uses.key(format!("{path}.jwks.caSecretRef"), authority, "ca.crt", 1);
        }
    }
}

#[derive(Default)]
struct Uses(Vec<SecretUse>);

impl Uses {
    fn add(&mut self, path: String, name: &str, keys: &[(&str, usize)]) {
        let keys = keys.iter().map(|(key, least)| ((*key).to_owned(), *least)).collect();
        self.0.push(SecretUse { path, name: name.to_owned(), keys });
    }

    fn key(&mut self, path: String, reference: &SecretKeyRef, default: &str, least: usize) {
        self.add(path, &reference.name, &[(reference.key_or(default), least)]);
    }

    fn credentials(&mut self, engine: &str, auth: Option<&Credentials>, keys: &[&str]) {
        if let Some(auth) = auth {
            let keys: Vec<_> = keys.iter().map(|key| (*key, 1)).collect();
            self.add(format!("{engine}.auth.secretRef"), &auth.secret_ref.name, &keys);
        }
    }

    fn tls(&mut self, engine: &str, tls: Option<&Tls>) {
        let Some(tls) = tls else { return };
        if let Some(authority) = &tls.ca_secret_ref {
            self.key(format!("{engine}.tls.caSecretRef"), authority, "ca.crt", 1);
        }
        if let Some(certificate) = &tls.client_certificate_secret_ref {
            let path = format!("{engine}.tls.clientCertificateSecretRef");
            self.add(path, &certificate.name, &[("tls.crt", 1), ("tls.key", 1)]);
        }
    }
}

/// Checks the Secrets that were looked for.
pub(super) fn check(spec: &ChatClusterSpec, references: &References, faults: &mut Vec<Fault>) {
    let Some(found) = &references.secrets else { return };
    for wanted in secrets(spec) {
        let Some(keys) = found.get(&wanted.name) else {
            let message = format!("Secret {} does not exist in this namespace", wanted.name);
            faults.push(Fault::new(wanted.path, FaultReason::SecretNotFound, message));
            continue;
        };
        for (key, least) in &wanted.keys {
            let (reason, message) = match keys.get(key) {
                None => (FaultReason::SecretKeyNotFound, format!("Secret {} has no key {key}", wanted.name)),
                Some(length) if length < least => (
                    FaultReason::SecretTooShort,
                    format!("key {key} of Secret {} has {length} bytes and needs at least {least}", wanted.name),
                ),
                Some(_) => continue,
            };
            faults.push(Fault::new(wanted.path.clone(), reason, message));
        }
    }
}
