//! Typed settings: the very types the binaries parse, the operator renders and `chatctl local` fills from a manifest.

pub mod auth;
pub mod cassandra;
pub mod elasticsearch;
pub mod gateway;
pub mod kafka;
pub mod limits;
pub mod process;
pub mod push;
pub mod redis;
pub mod role;
pub mod telemetry;
pub mod tls;

pub use auth::{Algorithm, AuthConfig, KeySource, Verifier};
pub use cassandra::CassandraConfig;
pub use elasticsearch::ElasticsearchConfig;
pub use gateway::{DrainConfig, GatewayConfig};
pub use kafka::KafkaConfig;
pub use limits::{Limits, Rate};
pub use process::{
    EnginesConfig, IndexConfig, KeyspaceConfig, LogConfig, LogFormat, ProcessConfig, ProvisionConfig, TopicsConfig,
    WorkersProcess,
};
pub use push::{ApnsConfig, ApnsEnvironment, FcmConfig, PushConfig, PushContent};
pub use redis::RedisConfig;
pub use role::WorkerRole;
pub use telemetry::OtlpConfig;
pub use tls::Tls;
