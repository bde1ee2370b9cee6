//! How the processes reach the engines.

use chat_core::config::cassandra::{CassandraAuth, CassandraTls};
use chat_core::config::elasticsearch::{ElasticsearchAuth, ElasticsearchTls};
use chat_core::config::kafka::{ClientCertificate, Sasl, SaslMechanism, Tls};
use chat_core::config::redis::RedisAuth;
use chat_core::config::{CassandraConfig, ElasticsearchConfig, KafkaConfig, RedisConfig};

use super::settings::Files;
use crate::crd;
use crate::validate::ValidatedCluster;

/// Port of Cassandra where a contact point names none.
pub(in super::super) const CASSANDRA_PORT: u16 = 9042;

pub(super) fn kafka(cluster: &ValidatedCluster, kafka: &crd::Kafka, files: &mut Files) -> KafkaConfig {
    let servers = &kafka.external;
    KafkaConfig {
        bootstrap_servers: servers.bootstrap_servers.clone(),
        prefix: cluster.spec.prefix.clone(),
        partitions: kafka.topics.partitions(),
        epoch: 1,
        sasl: servers.sasl.as_ref().map(|sasl| Sasl {
            mechanism: match sasl.mechanism {
                crd::SaslMechanism::Plain => SaslMechanism::Plain,
                crd::SaslMechanism::ScramSha256 => SaslMechanism::ScramSha256,
                crd::SaslMechanism::ScramSha512 => SaslMechanism::ScramSha512,
            },
            username_file: files.of(&sasl.secret_ref.name, "username"),
            password_file: files.of(&sasl.secret_ref.name, "password"),
        }),
        tls: tls(servers.tls.as_ref(), files),
    }
}

pub(super) fn cassandra(cluster: &ValidatedCluster, cassandra: &crd::Cassandra, files: &mut Files) -> CassandraConfig {
    let servers = &cassandra.external;
    let authority = servers.tls.as_ref().and_then(|tls| tls.ca_secret_ref.as_ref());
    CassandraConfig {
        contact_points: servers.contact_points.iter().map(|point| with_port(point)).collect(),
        keyspace: cluster.keyspace(),
        local_datacenter: servers.local_datacenter.clone(),
        message_age_seconds: cluster.spec.retention.messages().map(|age| age.as_secs()),
        auth: servers.auth.as_ref().map(|auth| CassandraAuth {
            username_file: files.of(&auth.secret_ref.name, "username"),
            password_file: files.of(&auth.secret_ref.name, "password"),
        }),
        tls: authority.map(|authority| CassandraTls { ca_file: files.key(authority, "ca.crt") }),
    }
}

fn with_port(point: &str) -> String {
    let has_port = point.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    if has_port { point.to_owned() } else { format!("{point}:{CASSANDRA_PORT}") }
}

pub(super) fn redis(cluster: &ValidatedCluster, servers: &crd::RedisServers, files: &mut Files) -> RedisConfig {
    RedisConfig {
        urls: servers.urls.clone(),
        prefix: cluster.spec.prefix.clone(),
        auth: servers
            .auth
            .as_ref()
            .map(|auth| RedisAuth { username_file: None, password_file: files.of(&auth.secret_ref.name, "password") }),
        tls: tls(servers.tls.as_ref(), files),
    }
}

pub(super) fn search(
    cluster: &ValidatedCluster,
    servers: &crd::SearchServers,
    files: &mut Files,
) -> ElasticsearchConfig {
    let authority = servers.tls.as_ref().and_then(|tls| tls.ca_secret_ref.as_ref());
    ElasticsearchConfig {
        url: servers.url.clone(),
        prefix: cluster.spec.prefix.clone(),
        auth: servers.auth.as_ref().map(|auth| ElasticsearchAuth {
            username_file: files.of(&auth.secret_ref.name, "username"),
            password_file: files.of(&auth.secret_ref.name, "password"),
        }),
        tls: authority.map(|authority| ElasticsearchTls { ca_file: files.key(authority, "ca.crt") }),
    }
}

fn tls(given: Option<&crd::Tls>, files: &mut Files) -> Option<Tls> {
    let given = given?;
    Some(Tls {
        ca_file: given.ca_secret_ref.as_ref().map(|authority| files.key(authority, "ca.crt")),
        client: given.client_certificate_secret_ref.as_ref().map(|certificate| ClientCertificate {
            certificate_file: files.of(&certificate.name, "tls.crt"),
            key_file: files.of(&certificate.name, "tls.key"),
        }),
    })
}
