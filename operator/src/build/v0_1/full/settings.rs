//! The files that the processes read, made of the very types that they parse them as.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use chat_core::config::{
    ApnsConfig, ApnsEnvironment, AuthConfig, EnginesConfig, FcmConfig, GatewayConfig, IndexConfig, KeySource,
    KeyspaceConfig, LogConfig, OtlpConfig, ProcessConfig, ProvisionConfig, PushConfig, PushContent, TopicsConfig,
    WorkersProcess,
};

use super::super::{
    CLIENT_PORT, Names,
    pod::{SECRETS, Volume, secret_volumes},
};
use super::{ADMIN_PORT, External, engines, workers};
use crate::crd::{self, SecretKeyRef};
use crate::settings::{drain, limits, only_verifier, size, verifier};

/// Copies of data where neither the manifest nor the engine's size says.
const COPIES: u32 = 3;

/// A file of settings, and the Secrets whose keys it names.
pub(super) struct Settings {
    pub(super) text: String,
    secrets: BTreeSet<String>,
}

impl Settings {
    /// Returns a volume for each Secret.
    pub(super) fn volumes(&self) -> Vec<Volume> {
        secret_volumes(&self.secrets)
    }
}

/// Names files of Secrets, and takes down which.
#[derive(Default)]
pub(super) struct Files(BTreeSet<String>);

impl Files {
    pub(super) fn of(&mut self, secret: &str, key: &str) -> PathBuf {
        self.0.insert(secret.to_owned());
        PathBuf::from(format!("{SECRETS}/{secret}/{key}"))
    }

    pub(super) fn key(&mut self, reference: &SecretKeyRef, default: &str) -> PathBuf {
        self.of(&reference.name, reference.key_or(default))
    }

    fn settings(self, config: &ProcessConfig) -> Settings {
        // They are text, numbers and lists, which YAML can always say.
        Settings { text: serde_yaml::to_string(config).unwrap_or_default(), secrets: self.0 }
    }
}

/// Returns the settings of all gateways; each learns its name from its pod.
pub(super) fn gateway(names: &Names<'_>, engines: External<'_>) -> Settings {
    let gateways = &names.0.spec.gateways;
    let mut files = Files::default();
    let gateway = GatewayConfig {
        name: names.of(super::GATEWAY),
        listen: any(CLIENT_PORT),
        admin_listen: any(ADMIN_PORT),
        admin_token_file: Some(admin_token(names, &mut files)),
        max_connections: size(gateways.max_connections()),
        allowed_origins: gateways.allowed_origins(),
        insecure_attachments: false,
        auth: auth(names, &mut files),
        limits: limits(&gateways.limits),
        drain: drain(&gateways.drain),
    };
    let config = ProcessConfig { gateway: Some(gateway), ..process(names, engines, &mut files) };
    files.settings(&config)
}

/// Returns the settings of all workers; each pod is told its role.
pub(super) fn workers(names: &Names<'_>, engines: External<'_>) -> Settings {
    let mut files = Files::default();
    let workers = WorkersProcess {
        admin_listen: any(ADMIN_PORT),
        admin_token_file: admin_token(names, &mut files),
        roles: workers::roles(names.0).iter().map(|role| role.kind).collect(),
    };
    let config = ProcessConfig { workers: Some(workers), ..process(names, engines, &mut files) };
    files.settings(&config)
}

/// Returns the settings of what prepares the engines.
pub(super) fn provision(names: &Names<'_>, engines: External<'_>) -> Settings {
    let mut files = Files::default();
    let copies = &names.0.copies;
    let local = &engines.all.cassandra.external.local_datacenter;
    let provision = ProvisionConfig {
        owner: format!("{}/{}", names.0.namespace, names.0.name),
        topics: TopicsConfig {
            manage: engines.all.kafka.topics.manage(),
            replication_factor: u16::try_from(copies.topics.unwrap_or(COPIES)).unwrap_or(u16::MAX),
            retention_seconds: engines.all.kafka.topics.retention().as_secs(),
        },
        keyspace: KeyspaceConfig {
            manage: engines.all.cassandra.keyspace.manage(),
            replication: u8::try_from(copies.keyspace.get(local).copied().unwrap_or(COPIES)).unwrap_or(u8::MAX),
        },
        index: engines.all.search.as_ref().map_or_else(IndexConfig::default, |(_, index)| IndexConfig {
            manage: index.manage(),
            shards: index.shards(),
            replicas: copies.index.unwrap_or(1),
        }),
    };
    let config = ProcessConfig {
        gateway: None,
        workers: None,
        engines: self::engines(names, engines, &mut files),
        push: PushConfig::default(),
        log: log(names),
        otlp: None,
        provision,
    };
    files.settings(&config)
}

fn process(names: &Names<'_>, engines: External<'_>, files: &mut Files) -> ProcessConfig {
    let spec = &names.0.spec;
    ProcessConfig {
        gateway: None,
        workers: None,
        engines: self::engines(names, engines, files),
        push: push(&spec.push, files),
        log: log(names),
        otlp: spec.telemetry.otlp.as_ref().map(|otlp| OtlpConfig {
            endpoint: otlp.endpoint.clone(),
            headers_file: otlp.headers_secret_ref.as_ref().map(|headers| files.key(headers, "headers")),
            sample_ratio: otlp.sample_ratio(),
        }),
        provision: ProvisionConfig::default(),
    }
}

fn engines(names: &Names<'_>, engines: External<'_>, files: &mut Files) -> EnginesConfig {
    EnginesConfig {
        kafka: engines::kafka(names.0, &engines.all.kafka, files),
        cassandra: engines::cassandra(names.0, &engines.all.cassandra, files),
        redis: engines::redis(names.0, engines.redis, files),
        search: engines.all.search.as_ref().map(|(servers, _)| engines::search(names.0, servers, files)),
    }
}

fn log(names: &Names<'_>) -> LogConfig {
    let given = names.0.spec.telemetry.log_level.as_ref();
    given.map_or_else(LogConfig::default, |filter| LogConfig { filter: filter.clone(), ..LogConfig::default() })
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

fn admin_token(names: &Names<'_>, files: &mut Files) -> PathBuf {
    let (secret, key) = names.0.admin_token();
    files.of(&secret, &key)
}

fn auth(names: &Names<'_>, files: &mut Files) -> AuthConfig {
    if let Some(secret) = names.0.token_key() {
        let keys = KeySource::Hs256File(files.of(&secret, "key"));
        return AuthConfig { verifiers: vec![only_verifier("generated", keys)] };
    }
    let mut keys = |of: &crd::Verifier| match (&of.jwks, &of.hs256) {
        (Some(jwks), _) => KeySource::Jwks {
            url: jwks.url.clone(),
            ca_file: jwks.ca_secret_ref.as_ref().map(|authority| files.key(authority, "ca.crt")),
        },
        (None, shared) => {
            // The definition asks for one of the two.
            let reference = shared.as_ref().map(|shared| shared.secret_ref.clone()).unwrap_or_default();
            KeySource::Hs256File(files.key(&reference, "key"))
        }
    };
    let verifiers = &names.0.spec.gateways.auth.verifiers;
    AuthConfig { verifiers: verifiers.iter().map(|of| verifier(of, keys(of))).collect() }
}

fn push(push: &crd::Push, files: &mut Files) -> PushConfig {
    PushConfig {
        content: match push.content {
            crd::PushContent::None => PushContent::None,
            crd::PushContent::Text => PushContent::Text,
        },
        apns: push.apns.as_ref().map(|apns| ApnsConfig {
            key_file: files.key(&apns.key_secret_ref, "key.p8"),
            key_id: apns.key_id.clone(),
            team_id: apns.team_id.clone(),
            topic: apns.topic.clone(),
            environment: match apns.environment() {
                crd::ApnsEnvironment::Production => ApnsEnvironment::Production,
                crd::ApnsEnvironment::Sandbox => ApnsEnvironment::Sandbox,
            },
        }),
        fcm: push.fcm.as_ref().map(|fcm| FcmConfig {
            service_account_file: files.key(&fcm.service_account_secret_ref, "service-account.json"),
        }),
    }
}
