//! Redis Cluster: routes, presence and relay.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Credentials, Tls};
use crate::crd::{is_default, pod_template::PodTemplate, rules, syntax};

/// Chooses between a Redis Cluster run by the operator and one that exists. Neither member: managed, with its defaults.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [rules::one_redis()]))]
#[serde(rename_all = "camelCase")]
pub struct Redis {
    /// Redis Cluster run by the operator, in memory only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedRedis>,

    /// Redis Cluster that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<RedisServers>,
}

/// Sizes a Redis Cluster run by the operator.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [rules::shards_can_vote()]))]
#[serde(rename_all = "camelCase")]
pub struct ManagedRedis {
    /// Number of shards: 1, or 3 to 64. May change; slots move while it serves. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub shards: Option<u32>,

    /// Replicas of each primary, 0 to 4. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4))]
    pub replicas_per_shard: Option<u32>,

    /// Shape of its pods.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pod_template: PodTemplate,
}

impl ManagedRedis {
    /// Returns the number of shards.
    pub fn shards(&self) -> u32 {
        self.shards.unwrap_or(3)
    }

    /// Returns the number of replicas of each primary.
    pub fn replicas_per_shard(&self) -> u32 {
        self.replicas_per_shard.unwrap_or(1)
    }
}

/// Says how to reach a Redis Cluster that exists.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisServers {
    /// Some of its nodes, 1 to 16, as in `redis://redis-0.redis:6379`; the rest is discovered. No credentials in here.
    #[schemars(length(min = 1, max = 16), inner(length(max = 512), regex(pattern = syntax::REDIS_URL)))]
    pub urls: Vec<String>,

    /// Name and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Credentials>,

    /// TLS for `rediss://` nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}
