//! The kinds of objects that a cluster is made of.

use crate::build::Object;

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for the core one.
    pub group: &'static str,
    /// Version of the API.
    pub version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// Its name in paths.
    pub plural: &'static str,
    /// Whether every Kubernetes cluster has it.
    pub built_in: bool,
}

const fn built_in(group: &'static str, version: &'static str, kind: &'static str, plural: &'static str) -> Kind {
    Kind { group, version, kind, plural, built_in: true }
}

/// All kinds that are made, in no particular order; each is watched.
pub const KINDS: [Kind; 10] = [
    built_in("", "v1", "ServiceAccount", "serviceaccounts"),
    built_in("", "v1", "ConfigMap", "configmaps"),
    built_in("", "v1", "Service", "services"),
    built_in("apps", "v1", "StatefulSet", "statefulsets"),
    built_in("apps", "v1", "Deployment", "deployments"),
    built_in("batch", "v1", "Job", "jobs"),
    built_in("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    built_in("networking.k8s.io", "v1", "Ingress", "ingresses"),
    built_in("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Kind { built_in: false, ..built_in("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes") },
];

impl Kind {
    /// Returns the kind of an object.
    pub fn of(object: &Object) -> Option<Self> {
        KINDS.iter().copied().find(|kind| kind.kind == object.kind() && kind.api_version() == object.api_version())
    }

    /// Returns what a client asks for it by.
    #[cfg(feature = "cluster")]
    pub fn resource(&self) -> kube::core::ApiResource {
        let gvk = kube::core::GroupVersionKind::gvk(self.group, self.version, self.kind);
        kube::core::ApiResource::from_gvk_with_plural(&gvk, self.plural)
    }

    /// Returns group and version, as manifests have them.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}
