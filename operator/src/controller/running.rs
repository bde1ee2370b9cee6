//! What runs, whatever the manifest says now.

use kube::api::DynamicObject;
use kube::{Api, ResourceExt as _};

use super::pass::Context;
use crate::children::{KINDS, Kind};
use crate::workload::{KINDS as WORKLOADS, Workload};

/// Asks for the workloads of a cluster: a manifest that cannot be carried out stops nothing that runs, and a status that
/// says so has to look. What cannot be read is left out.
pub(super) async fn workloads(context: &Context, namespace: &str, uid: &str) -> Vec<Workload> {
    let mut workloads = Vec::new();
    for kind in KINDS.iter().filter(|kind| WORKLOADS.contains(&kind.kind)) {
        for owned in context.watches.owned(kind, namespace, uid) {
            workloads.extend(read(context, namespace, kind, &owned.name_any()).await);
        }
    }
    workloads
}

async fn read(context: &Context, namespace: &str, kind: &Kind, name: &str) -> Option<Workload> {
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &kind.resource());
    match api.get_opt(name).await {
        Ok(object) => Workload::of(&serde_json::to_value(object?).ok()?),
        Err(error) => {
            tracing::warn!(%error, kind = kind.kind, name, "cannot tell what runs");
            None
        }
    }
}
