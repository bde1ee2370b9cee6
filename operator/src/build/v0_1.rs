//! The rendering of versions 0.1: change nothing here that a released version renders.

mod exposure;
mod full;
mod local;
mod network;
mod pod;

use serde_json::{Value, json};

pub(super) use full::ADMIN_PORT;
use full::External;

use super::{COMPONENT, INSTANCE, MANAGED_BY, OPERATOR, Object, Running};
use crate::{
    crd::PodTemplate,
    validate::{Stack, ValidatedCluster},
};

/// Port that clients connect to.
const CLIENT_PORT: u16 = 8080;

pub(super) fn render(cluster: &ValidatedCluster, running: &Running) -> Vec<Object> {
    let names = Names(cluster);
    let mut objects = match &cluster.stack {
        Stack::Embedded(engine) => {
            let mut objects = local::objects(&names, engine);
            objects.extend(exposure::objects(&names, local::COMPONENT));
            objects
        }
        Stack::Full(engines) => match External::of(engines) {
            Some(engines) => full::objects(&names, engines, running),
            // It is refused before; see `unsupported`.
            None => return Vec::new(),
        },
    };
    objects.extend(network::objects(&names));
    objects
}

/// A cluster, with the names and labels of its objects.
struct Names<'a>(&'a ValidatedCluster);

impl Names<'_> {
    /// Name of an object: the cluster's, and a part.
    fn of(&self, part: &str) -> String {
        format!("{}-{part}", self.0.name)
    }

    /// Labels by which the pods of a component are found; they never change.
    fn selector(&self, component: &str) -> Value {
        json!({ "app.kubernetes.io/name": "chatcluster", INSTANCE: self.0.name, COMPONENT: component })
    }

    fn labels(&self, component: &str) -> Value {
        let mut labels = self.selector(component);
        labels[MANAGED_BY] = OPERATOR.into();
        labels
    }

    /// Metadata of an object that goes with its cluster.
    fn metadata(&self, name: &str, component: &str) -> Value {
        let mut metadata = self.kept_metadata(name, component);
        if !self.0.uid.is_empty() {
            metadata["ownerReferences"] = json!([{
                "apiVersion": "chatcluster.dev/v1alpha1", "kind": "ChatCluster", "name": self.0.name,
                "uid": self.0.uid, "controller": true, "blockOwnerDeletion": true,
            }]);
        }
        metadata
    }

    /// Metadata of an object that outlives its cluster where the data does.
    fn kept_metadata(&self, name: &str, component: &str) -> Value {
        let mut metadata = json!({ "name": name, "labels": self.labels(component) });
        if !self.0.namespace.is_empty() {
            metadata["namespace"] = self.0.namespace.clone().into();
        }
        metadata
    }

    /// A file for the pods of a component.
    fn config_map(&self, name: &str, component: &str, file: &str, content: &str) -> Object {
        Object::new(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": self.metadata(name, component),
            "data": { file: content },
        }))
    }

    /// A Service without an address of its own: names of pods, ready or not.
    fn headless(&self, name: &str, component: &str, ports: &Value) -> Object {
        Object::new(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": self.metadata(name, component),
            "spec": {
                "clusterIP": "None", "publishNotReadyAddresses": true,
                "selector": self.selector(component), "ports": ports,
            },
        }))
    }

    /// A ServiceAccount without rights and without a token, unless the manifest names another.
    fn service_account(&self, template: &PodTemplate, component: &str) -> Option<Object> {
        template.service_account.is_none().then(|| {
            Object::new(json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": self.metadata(&self.of(component), component),
                "automountServiceAccountToken": false,
            }))
        })
    }
}
