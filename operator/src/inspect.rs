//! What people ask of a cluster from outside: what a manifest would change, and how a cluster is. Reads only, with the
//! rights of who asks.

use std::time::Duration;

use kube::api::DynamicObject;
use kube::{Api, Client, Error};
use serde::Serialize;
use tokio::time::timeout;

use crate::build::Object;
use crate::children::Kind;
use crate::crd::ChatCluster;
use crate::plan::{Change, changes};

/// How long an API server may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Why a cluster cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// No API server is configured.
    #[error("no Kubernetes cluster is configured ({0}); set KUBECONFIG")]
    NotConfigured(#[from] kube::config::InferConfigError),
    /// The API server refuses, or cannot be reached.
    #[error("the API server does not answer: {0}")]
    Unreachable(#[from] Error),
    /// The API server is too slow.
    #[error("the API server did not answer within {} s", ANSWER_WITHIN.as_secs())]
    Slow,
}

/// What would become of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What would be done with it.
    #[serde(flatten)]
    pub action: Action,
}

/// What would be done with an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "action")]
pub enum Action {
    /// It would be made.
    Create,
    /// It would stay as it is.
    Keep,
    /// These fields would be changed.
    #[serde(rename_all = "camelCase")]
    Change {
        /// The fields.
        changes: Vec<Change>,
        /// Whether its pods would restart.
        restarts_pods: bool,
    },
}

/// An API server, as the caller's configuration names it.
pub struct Cluster {
    client: Client,
    namespace: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cluster").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Finds the API server as `kubectl` does. `namespace`: absent, that of the configuration.
    ///
    /// # Errors
    ///
    /// Where none is configured.
    pub async fn find(namespace: Option<&str>) -> Result<Self, InspectError> {
        let config = kube::Config::infer().await?;
        let namespace = namespace.unwrap_or(&config.default_namespace).to_owned();
        Ok(Self { client: Client::try_from(config)?, namespace })
    }

    /// Returns the namespace that is asked about.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns a cluster; `None` where it is not there.
    ///
    /// # Errors
    ///
    /// Where the API server does not answer.
    pub async fn get(&self, name: &str) -> Result<Option<ChatCluster>, InspectError> {
        let api: Api<ChatCluster> = Api::namespaced(self.client.clone(), &self.namespace);
        in_time(api.get_opt(name)).await
    }

    /// Lists the clusters of the namespace.
    ///
    /// # Errors
    ///
    /// Where the API server does not answer.
    pub async fn list(&self) -> Result<Vec<ChatCluster>, InspectError> {
        let api: Api<ChatCluster> = Api::namespaced(self.client.clone(), &self.namespace);
        Ok(in_time(api.list(&kube::api::ListParams::default())).await?.items)
    }

    /// Compares objects with those that are there.
    ///
    /// # Errors
    ///
    /// Where the API server does not answer.
    pub async fn plan(&self, objects: &[Object]) -> Result<Vec<Planned>, InspectError> {
        let mut planned = Vec::new();
        for object in objects {
            // Every kind that is built is one of those.
            let Some(kind) = Kind::of(object) else { continue };
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource());
            let live = in_time(api.get_opt(object.name())).await?;
            planned.push(Planned {
                kind: object.kind().to_owned(),
                name: object.name().to_owned(),
                action: action(object, live),
            });
        }
        Ok(planned)
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, InspectError> {
    timeout(ANSWER_WITHIN, call).await.map_err(|_| InspectError::Slow)?.map_err(InspectError::from)
}

fn action(object: &Object, live: Option<DynamicObject>) -> Action {
    let Some(live) = live else { return Action::Create };
    let changes = changes(object.manifest(), &serde_json::to_value(&live).unwrap_or_default());
    if changes.is_empty() {
        return Action::Keep;
    }
    let restarts_pods = changes.iter().any(|change| change.path.starts_with("spec.template"));
    Action::Change { changes, restarts_pods }
}
