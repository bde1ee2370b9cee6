//! From a checked cluster to the objects that run it. Pure, and keyed by the cluster's version.
//!
//! Manifests of a version are rendered by the rendering that came with it, for as long as that version is run. So a new
//! operator changes no object of a running cluster, and restarts nothing; golden manifests hold it to that. What makes
//! pods restart is hashed from the rendered settings alone, which change only as the manifest changes.
//!
//! An [`Object`] is JSON in the shape people know from manifests; a test reads every object that is built as the type of
//! its kind, so that no field is misspelt.

mod front;
mod object;
mod unsupported;
mod v0_1;

pub use front::{Front, front, front_component};
pub use object::Object;
pub use unsupported::unsupported;

use uuid::Uuid;

use crate::validate::{Stack, ValidatedCluster};

/// Label of the cluster an object belongs to.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Label of the part of the cluster an object belongs to.
pub const COMPONENT: &str = "app.kubernetes.io/component";

/// Port of probes, metrics, `/status` and `/drain` of gateways and workers.
pub const ADMIN_PORT: u16 = v0_1::ADMIN_PORT;

/// Label of who writes an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`].
pub const OPERATOR: &str = "chat-operator";

/// Holds what is decided as the cluster runs, and not by its manifest alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// Gateways there should be now.
    pub gateways: u32,
    /// First ordinal that runs the new version: the cursor of a rollout; 0 when none is under way.
    pub partition: u32,
    /// Redis shards there should be now: more than are asked for while slots still move.
    pub redis_shards: u32,
}

impl Running {
    /// Returns where a cluster begins that does not exist yet.
    pub fn first(cluster: &ValidatedCluster) -> Self {
        let gateways = match cluster.stack {
            Stack::Embedded(_) => 1,
            Stack::Full(_) => cluster.spec.gateways.min_replicas(),
        };
        Self { gateways, partition: 0, redis_shards: cluster.redis_shards() }
    }
}

/// A rendering: from a cluster to its objects.
type Render = fn(&ValidatedCluster, &Running) -> Vec<Object>;

/// Renderings, each with the first minor version it renders, newest first.
const RENDERINGS: [((u32, u32), Render); 1] = [((0, 0), v0_1::render)];

/// Builds the objects of a cluster, in the order in which they are applied: what pods refer to comes before them.
///
/// # Panics
///
/// Never: the oldest rendering takes every version.
pub fn build(cluster: &ValidatedCluster, running: &Running) -> Vec<Object> {
    let version = cluster.version.minor();
    let (_, render) = RENDERINGS.iter().find(|(since, _)| *since <= version).expect("the oldest takes all");
    render(cluster, running)
}

/// Returns a short, stable hash of settings: when it changes, the pods that read them restart.
pub(crate) fn fingerprint(settings: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, settings.as_bytes()).simple().to_string()[..16].to_owned()
}
