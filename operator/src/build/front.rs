//! Where clients come in.

use super::{COMPONENT, INSTANCE};
use crate::{
    crd::{ChatClusterSpec, ServiceType},
    validate::{Stack, ValidatedCluster},
};

/// The pods that take clients, and how clients reach them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// Component of the pods.
    pub component: &'static str,
    /// Label selector of the pods.
    pub selector: String,
    /// Address by name, where the manifest has one.
    host: Option<String>,
    /// Address inside the Kubernetes cluster.
    inside: String,
    scheme: &'static str,
    port: u16,
    balanced: bool,
}

/// Returns the component whose pods take clients.
pub const fn front_component(spec: &ChatClusterSpec) -> &'static str {
    if spec.is_embedded() { "local" } else { "gateway" }
}

/// Returns where clients of a cluster come in.
pub fn front(cluster: &ValidatedCluster) -> Front {
    let gateways = &cluster.spec.gateways;
    let component = front_component(&cluster.spec);
    let tls = matches!(cluster.stack, Stack::Full(_)) && gateways.tls.is_some();
    // What an HTTPRoute is attached to ends TLS where it has a public name.
    let route = gateways.http_route.as_ref().map(|route| format!("https://{}", route.host));
    let ingress = gateways.ingress.as_ref().map(|ingress| {
        let scheme = if ingress.tls_secret_name.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", ingress.host)
    });
    let scheme = if tls { "https" } else { "http" };
    let port = cluster.service_port();
    Front {
        component,
        selector: format!("{INSTANCE}={},{COMPONENT}={component}", cluster.name),
        host: route.or(ingress),
        inside: address(scheme, &format!("{}.{}.svc", cluster.name, cluster.namespace), port),
        scheme,
        port,
        balanced: gateways.service.type_ == ServiceType::LoadBalancer,
    }
}

impl Front {
    /// Returns the address that clients connect to; `balancer` is the one that a load balancer has. `None` while it has
    /// none yet.
    pub fn url(&self, balancer: Option<&str>) -> Option<String> {
        match (&self.host, self.balanced, balancer) {
            (Some(host), ..) => Some(host.clone()),
            (None, true, balancer) => balancer.map(|host| address(self.scheme, host, self.port)),
            (None, false, _) => Some(self.inside.clone()),
        }
    }
}

fn address(scheme: &str, host: &str, port: u16) -> String {
    match (scheme, port) {
        ("http", 80) | ("https", 443) => format!("{scheme}://{host}"),
        _ => format!("{scheme}://{host}:{port}"),
    }
}
