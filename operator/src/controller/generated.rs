//! Secrets that are made where the manifest names none: the admin ports' token, and the key of tokens.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Error};
use tokio::time::Instant;

use super::dereference::lengths;
use super::failure;
use super::memory::ClusterMemory;
use crate::build::{INSTANCE, MANAGED_BY, OPERATOR};
use crate::status::{ConditionReason, Obstacle};
use crate::validate::ValidatedCluster;

/// Makes what is not there. One that is there is used as it is, whoever made it. Returns what waits where changes are
/// `frozen`.
pub(super) async fn generate(
    client: &Client,
    cluster: &ValidatedCluster,
    memory: &mut ClusterMemory,
    frozen: bool,
) -> Result<Vec<String>, Obstacle> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &cluster.namespace);
    let mut waiting = Vec::new();
    for (name, key) in cluster.generated() {
        if memory.secret(&name, Instant::now()).is_some() {
            continue;
        }
        let what = format!("Secret {name}");
        let failed = |error: Error| failure::obstacle(&what, "secrets", &cluster.namespace, &error);
        let mut found = api.get_opt(&name).await.map_err(failed)?;
        if found.is_none() {
            if frozen {
                waiting.push(format!("{what} will be made"));
                continue;
            }
            tracing::info!(kind = "Secret", name, "makes a Secret");
            found = match api.create(&PostParams::default(), &secret(cluster, &name, key)).await {
                Ok(made) => Some(made),
                // Somebody was faster.
                Err(Error::Api(status)) if status.code == 409 => api.get_opt(&name).await.map_err(failed)?,
                Err(error) => return Err(failed(error)),
            };
        }
        let keys = found.as_ref().map(lengths).unwrap_or_default();
        if !keys.contains_key(key) {
            return Err(Obstacle {
                reason: ConditionReason::NameTaken.name().to_owned(),
                message: format!("{what} exists and has no key {key}: add it, or delete the Secret"),
                passes: false,
            });
        }
        memory.take_secret(&name, keys, Instant::now());
    }
    Ok(waiting)
}

/// A Secret with 32 random bytes, as text. It outlives its cluster where the data does.
fn secret(cluster: &ValidatedCluster, name: &str, key: &str) -> Secret {
    let random = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    let labels = [("app.kubernetes.io/name", "chatcluster"), (INSTANCE, &cluster.name), (MANAGED_BY, OPERATOR)];
    let owner = OwnerReference {
        api_version: "chatcluster.dev/v1alpha1".to_owned(),
        kind: "ChatCluster".to_owned(),
        name: cluster.name.clone(),
        uid: cluster.uid.clone(),
        ..OwnerReference::default()
    };
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into()),
            owner_references: cluster.deletes_data.then(|| vec![owner]),
            ..ObjectMeta::default()
        },
        string_data: Some([(key.to_owned(), random)].into()),
        ..Secret::default()
    }
}
