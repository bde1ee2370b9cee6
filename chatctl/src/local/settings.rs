//! From a manifest to the settings of a local stack. Pure: it reads and writes nothing.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_core::config::{AuthConfig, DrainConfig, GatewayConfig, KeySource, OtlpConfig};
use operator::crd::{self, AutoscalingMode, ChatClusterSpec, Gateways, PushContent, SecretKeyRef, Verifier};
use operator::scaling::Rules;
use operator::settings::{drain, limits, only_verifier, size, verifier};
use serde::Serialize;

use crate::token::Claims;

/// Partitions of the embedded log: enough for every core of a laptop, few enough to start at once. Chats stay where
/// they are, so it is the same for every local stack.
pub(crate) const PARTITIONS: u32 = 8;

/// Where the ports of gateways and workers are: this machine only, whatever `--listen` says of the front door.
pub(crate) const LOCAL_ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What the command line adds to the manifest.
#[derive(Debug, Clone)]
pub(crate) struct Choices<'a> {
    /// The data directory, as it is shown.
    pub(crate) data_dir: &'a Path,
    /// Where the front door is.
    pub(crate) front_door: SocketAddr,
    /// Number of gateways, if it is not the manifest's.
    pub(crate) gateways: Option<usize>,
    /// The key of the tokens, in place of every Secret that is not there.
    pub(crate) key_file: PathBuf,
    /// Where the Secrets are that the manifest names, each a directory of its keys.
    pub(crate) secrets: Option<&'a Path>,
    /// The bearer token of the admin ports.
    pub(crate) admin_token_file: PathBuf,
}

/// A part of the manifest that the local stack replaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Replacement {
    /// The part, as a path below `spec`.
    pub(crate) part: String,
    /// What stands in for it.
    pub(crate) by: String,
}

/// Settings of a local stack.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// Number of gateways to start with, at least 1.
    pub(crate) gateways: usize,
    /// What decides their number from then on; `None` where it stays as it is but for `chatctl gateways`.
    pub(crate) scaling: Option<Rules>,
    /// Settings of each gateway, but for its name.
    template: GatewayConfig,
    /// What a token must carry to be taken; `None` where no verifier takes the local key.
    pub(crate) claims: Option<Claims>,
    /// Whether messages can be searched.
    pub(crate) search: bool,
    /// What a push notification carries; `None` where push is off.
    pub(crate) push: Option<PushContent>,
    /// Age at which messages go; `None` keeps them for ever.
    pub(crate) message_age: Option<Duration>,
    /// Where traces go; `None` where they go nowhere.
    pub(crate) traces: Option<OtlpConfig>,
    /// What is replaced, in the order of the manifest.
    pub(crate) replaced: Vec<Replacement>,
    /// What the user should know, a sentence each.
    pub(crate) warnings: Vec<String>,
}

impl Settings {
    /// Makes the settings of what a manifest describes.
    pub(crate) fn new(spec: &ChatClusterSpec, choices: &Choices<'_>) -> Self {
        let wanted = usize::try_from(spec.gateways.min_replicas()).unwrap_or(usize::MAX);
        Self {
            gateways: choices.gateways.unwrap_or(wanted).max(1),
            scaling: scaling(&spec.gateways, choices),
            template: template(&spec.gateways, choices),
            claims: claims(&spec.gateways.auth.verifiers, choices),
            search: spec.search_enabled(),
            push: spec.push.is_enabled().then_some(spec.push.content),
            message_age: spec.retention.messages(),
            traces: spec.telemetry.otlp.as_ref().map(|otlp| traces(otlp, choices)),
            replaced: replaced(spec, choices),
            warnings: warnings(spec, choices),
        }
    }

    /// Returns the settings of one gateway.
    pub(crate) fn gateway(&self, name: &str) -> GatewayConfig {
        GatewayConfig { name: name.to_owned(), ..self.template.clone() }
    }
}

fn traces(otlp: &crd::Otlp, choices: &Choices<'_>) -> OtlpConfig {
    OtlpConfig {
        endpoint: otlp.endpoint.clone(),
        headers_file: otlp.headers_secret_ref.as_ref().and_then(|headers| secret(choices, headers, "headers")),
        sample_ratio: otlp.sample_ratio(),
    }
}

/// A number that somebody else writes is written by nobody here.
fn scaling(gateways: &Gateways, choices: &Choices<'_>) -> Option<Rules> {
    let follows = gateways.autoscaling.mode == AutoscalingMode::Connections && choices.gateways.is_none();
    follows.then(|| Rules::of(gateways))
}

fn template(gateways: &Gateways, choices: &Choices<'_>) -> GatewayConfig {
    GatewayConfig {
        name: String::new(),
        listen: LOCAL_ANY,
        admin_listen: LOCAL_ANY,
        admin_token_file: Some(choices.admin_token_file.clone()),
        max_connections: size(gateways.max_connections()),
        allowed_origins: gateways.allowed_origins(),
        insecure_attachments: true,
        auth: auth(&gateways.auth.verifiers, choices),
        limits: limits(&gateways.limits),
        // The front door sees a drain at once: no endpoint or load balancer has to notice first.
        drain: DrainConfig { settle_seconds: 0, ..drain(&gateways.drain) },
    }
}

/// Returns the file of a key of a Secret, where Secrets are there.
fn secret(choices: &Choices<'_>, reference: &SecretKeyRef, default: &str) -> Option<PathBuf> {
    choices.secrets.map(|secrets| secrets.join(&reference.name).join(reference.key_or(default)))
}

fn auth(verifiers: &[Verifier], choices: &Choices<'_>) -> AuthConfig {
    let local_key = KeySource::Hs256File(choices.key_file.clone());
    if verifiers.is_empty() {
        return AuthConfig { verifiers: vec![only_verifier("local", local_key)] };
    }
    let keys = |of: &Verifier| match (&of.jwks, &of.hs256) {
        (Some(jwks), _) => KeySource::Jwks {
            url: jwks.url.clone(),
            ca_file: jwks.ca_secret_ref.as_ref().and_then(|authority| secret(choices, authority, "ca.crt")),
        },
        (None, shared) => shared
            .as_ref()
            .and_then(|shared| secret(choices, &shared.secret_ref, "key"))
            .map_or_else(|| local_key.clone(), KeySource::Hs256File),
    };
    AuthConfig { verifiers: verifiers.iter().map(|of| verifier(of, keys(of))).collect() }
}

/// Returns what the first verifier with the local key asks of a token.
fn claims(verifiers: &[Verifier], choices: &Choices<'_>) -> Option<Claims> {
    if verifiers.is_empty() {
        return Some(Claims::default());
    }
    if choices.secrets.is_some() {
        return None;
    }
    verifiers.iter().find(|verifier| verifier.hs256.is_some()).map(|verifier| Claims {
        user_claim: verifier.user_claim().to_owned(),
        issuer: verifier.issuer.clone(),
        audience: verifier.audience.clone(),
    })
}

/// Lists what a local stack does in another way than a cluster, in the order of the manifest's documentation.
fn replaced(spec: &ChatClusterSpec, choices: &Choices<'_>) -> Vec<Replacement> {
    let dir = choices.data_dir.display();
    let door = choices.front_door;
    let key = choices.key_file.display();
    let redis = spec.redis.as_ref();
    let gateways = &spec.gateways;
    let shared = gateways.auth.verifiers.iter().filter(|verifier| verifier.hs256.is_some());
    let absent = choices.secrets.is_none();

    let mut list = Vec::new();
    let mut add = |given: bool, part: &str, by: &dyn Display| {
        if given {
            list.push(Replacement { part: part.to_owned(), by: by.to_string() });
        }
    };
    let headers = spec.telemetry.otlp.as_ref().is_some_and(|otlp| otlp.headers_secret_ref.is_some());
    add(headers && absent, "telemetry.otlp.headersSecretRef", &"no headers");
    add(spec.is_embedded(), "engines.embedded", &format!("this process and {dir}"));
    add(redis.is_some_and(|redis| redis.external.is_some()), "redis.external", &"relay and presence in this process");
    add(redis.is_some_and(|redis| redis.external.is_none()), "redis.managed", &"relay and presence in this process");
    add(spec.kafka.is_some(), "kafka.external", &format!("embedded log in {dir}, {PARTITIONS} partitions"));
    add(spec.cassandra.is_some(), "cassandra.external", &format!("embedded store in {dir}"));
    let search = spec.search.as_ref().is_some_and(|search| search.external.is_some());
    add(search, "search.external", &format!("embedded index in {dir}"));
    add(gateways.service != crd::Service::default(), "gateways.service", &format!("the front door {door}"));
    add(gateways.http_route.is_some(), "gateways.httpRoute", &format!("the front door {door}"));
    add(gateways.ingress.is_some(), "gateways.ingress", &format!("the front door {door}"));
    add(gateways.tls.is_some(), "gateways.tls", &"plain http");
    for verifier in shared {
        add(absent, &format!("gateways.auth.verifiers[{}].hs256", verifier.name), &format!("the key in {key}"));
    }
    let admin = choices.admin_token_file.display();
    add(gateways.admin_token_secret_ref.is_some(), "gateways.adminTokenSecretRef", &format!("the token in {admin}"));
    add(spec.push.apns.is_some(), "push.apns", &format!("records in {dir}/push.jsonl"));
    add(spec.push.fcm.is_some(), "push.fcm", &format!("records in {dir}/push.jsonl"));
    list
}

/// Lists what may surprise.
fn warnings(spec: &ChatClusterSpec, choices: &Choices<'_>) -> Vec<String> {
    let mut list = Vec::new();
    let own = env!("CARGO_PKG_VERSION");
    if spec.version != own {
        list.push(format!("the manifest asks for version {}; this is {own} and runs as {own}", spec.version));
    }
    let listen = choices.front_door.ip();
    if !listen.is_loopback() {
        list.push(format!(
            "--listen {listen} lets other machines in, over plain http, so no tokens are shown here; `chatctl token` makes them"
        ));
    }
    if spec.gateways.min_replicas() == 0 && choices.gateways.is_none() {
        list.push("the manifest asks for no gateway; one is started".to_owned());
    }
    for verifier in &spec.gateways.auth.verifiers {
        if choices.secrets.is_none() && verifier.jwks.as_ref().is_some_and(|jwks| jwks.ca_secret_ref.is_some()) {
            list.push(format!(
                "gateways.auth.verifiers[{}].jwks.caSecretRef names a Secret, which is not here; \
                 only public authorities are trusted",
                verifier.name
            ));
        }
    }
    if choices.secrets.is_none() && claims(&spec.gateways.auth.verifiers, choices).is_none() {
        list.push(
            "every verifier takes its keys by JWKS, so tokens come from there; `chatctl token` makes none".to_owned(),
        );
    }
    list
}

#[cfg(test)]
mod tests;
