//! Everything that a pass reads before it decides: Secrets that are named, APIs that are served.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, Error};
use tokio::time::Instant;

use super::failure;
use super::memory::ClusterMemory;
use crate::crd::ChatCluster;
use crate::status::Obstacle;
use crate::validate::{Apis, References, secrets};

/// How long it holds which APIs are served.
const APIS_FOR: Duration = Duration::from_mins(1);

/// Which optional APIs the cluster serves; asked again as time goes by, because they may be installed later.
#[derive(Debug, Default)]
pub(super) struct ServedApis(Mutex<Option<(Instant, Apis)>>);

impl ServedApis {
    /// Returns the APIs, from memory where they were asked for lately.
    pub(super) async fn get(&self, client: &Client) -> Result<Apis, Error> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, apis)) = known
            && at.elapsed() < APIS_FOR
        {
            return Ok(apis);
        }
        let apis = Apis {
            http_route: serves(client, "gateway.networking.k8s.io/v1", &["HTTPRoute"]).await?,
            monitoring: serves(client, "monitoring.coreos.com/v1", &["ServiceMonitor", "PrometheusRule"]).await?,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), apis));
        Ok(apis)
    }
}

async fn serves(client: &Client, api: &str, kinds: &[&str]) -> Result<bool, Error> {
    match client.list_api_group_resources(api).await {
        Ok(served) => Ok(kinds.iter().all(|kind| served.resources.iter().any(|resource| resource.kind == *kind))),
        Err(Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

/// Finds out about what a cluster refers to. Of Secrets only keys and lengths are kept.
pub(super) async fn dereference(
    client: &Client,
    cluster: &ChatCluster,
    namespace: &str,
    apis: &ServedApis,
    memory: &mut ClusterMemory,
) -> Result<References, Obstacle> {
    let apis = apis.get(client).await.map_err(|error| failure::unreachable("the list of APIs", &error))?;
    let kept = cluster.status.as_ref().map(|status| status.resolved.clone()).unwrap_or_default();
    let mut found = BTreeMap::new();
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for wanted in secrets(&cluster.spec) {
        let now = Instant::now();
        let known = memory.secret(&wanted.name, now).filter(|keys| wanted.is_met(keys)).cloned();
        let keys = if known.is_some() {
            known
        } else {
            let what = format!("Secret {}", wanted.name);
            let read = api.get_opt(&wanted.name).await;
            let secret = read.map_err(|error| failure::obstacle(&what, "secrets", namespace, &error))?;
            secret.as_ref().map(lengths)
        };
        if let Some(keys) = keys {
            // One that is not as it must be is asked for again: somebody is about to mend it.
            if wanted.is_met(&keys) {
                memory.take_secret(&wanted.name, keys.clone(), now);
            }
            found.insert(wanted.name, keys);
        }
    }
    Ok(References { secrets: Some(found), apis: Some(apis), kept, ..References::default() })
}

pub(super) fn lengths(secret: &Secret) -> BTreeMap<String, usize> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), value.0.len())).collect()
}
