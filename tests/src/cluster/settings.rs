//! The settings of a cluster: one file for all of its processes.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::keyspace::Keyspace;
use super::process::ADMIN_TOKEN;
use super::variable;

/// Which engines a cluster uses, and how.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The brokers.
    pub kafka: Vec<String>,
    /// Copies of each partition of the log.
    pub copies: u16,
    /// Nodes of the Redis Cluster.
    pub redis: Vec<String>,
    /// More variables of the first gateway.
    pub first_gateway: Vec<(String, String)>,
}

impl Setup {
    /// Takes the engines that `tests/run.sh engines` started.
    pub fn from_variables() -> anyhow::Result<Self> {
        Ok(Self {
            kafka: vec![variable("KAFKA_BOOTSTRAP")?],
            copies: 1,
            redis: variable("REDIS_CLUSTER_URLS")?.split(',').map(str::to_owned).collect(),
            first_gateway: Vec::new(),
        })
    }

    /// Writes the settings, with new names in the engines, and the files that they name. Returns what stands before
    /// the names, and the keyspace. JSON is YAML too.
    pub(super) fn write(&self, dir: &Path) -> anyhow::Result<(String, Keyspace)> {
        let write = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let path = dir.join(name);
            std::fs::write(&path, text)?;
            Ok(path)
        };
        let key = write("jwt.key", &uuid::Uuid::now_v7().simple().to_string().repeat(2))?;
        let admin_token = write("admin.token", ADMIN_TOKEN)?;
        let (user, password) = (write("username", "cassandra")?, write("password", "cassandra")?);
        let name = uuid::Uuid::now_v7().simple().to_string();
        let prefix = format!("e-{name}-");
        let keyspace = Keyspace(format!("e_{name}"));
        let rate = json!({"perSecond": 100_000, "burst": 100_000});
        let config = json!({
            "gateway": {
                "name": "gateway", "listen": "127.0.0.1:0", "adminListen": "127.0.0.1:0",
                "adminTokenFile": admin_token, "maxConnections": 15_000, "allowedOrigins": ["*"],
                "auth": {"verifiers": [{"name": "tests", "algorithms": ["HS256"], "keys": {"hs256File": key}}]},
                "limits": {"sendsPerUser": rate, "sendsPerChat": rate, "framesPerSession": rate},
                "drain": {"deadlineSeconds": 5, "reconnectsPerSecond": 200, "settleSeconds": 0},
            },
            "workers": {"adminListen": "127.0.0.1:0", "adminTokenFile": admin_token},
            "engines": {
                "kafka": {"bootstrapServers": self.kafka, "prefix": prefix, "partitions": 8},
                "cassandra": {
                    "contactPoints": [variable("CASSANDRA_CONTACT_POINT")?], "keyspace": keyspace.0,
                    "localDatacenter": "datacenter1", "auth": {"usernameFile": user, "passwordFile": password},
                },
                "redis": {"urls": self.redis, "prefix": prefix},
                "search": {"url": variable("ELASTICSEARCH_URL")?, "prefix": prefix},
            },
            "log": {"filter": "info", "format": "text"},
            "provision": {
                "owner": name,
                "topics": {"replicationFactor": self.copies, "retentionSeconds": 86_400},
                "keyspace": {"replication": 1},
                "index": {"shards": 1, "replicas": 0},
            },
        });
        write("chat.json", &config.to_string())?;
        Ok((prefix, keyspace))
    }
}
