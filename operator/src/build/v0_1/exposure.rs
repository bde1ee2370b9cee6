//! How clients reach the pods that take them: Service, and HTTPRoute or Ingress.

use serde_json::{Value, json};

use super::{Names, Object};
use crate::crd::ServiceType;

/// The objects, for the pods of a component.
pub(super) fn objects(names: &Names<'_>, component: &str) -> Vec<Object> {
    let mut objects = vec![service(names, component)];
    objects.extend(route(names, component));
    objects.extend(ingress(names, component));
    objects
}

fn service(names: &Names<'_>, component: &str) -> Object {
    let service = &names.0.spec.gateways.service;
    let mut metadata = names.metadata(&names.0.name, component);
    annotate(&mut metadata, &json!(service.annotations));
    let balanced = service.type_ == ServiceType::LoadBalancer;
    Object::new(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": service.type_,
            "selector": names.selector(component),
            "ports": [{ "name": "client", "port": names.0.service_port(), "targetPort": "client" }],
            // The API server refuses it on a Service that nobody outside reaches.
            "externalTrafficPolicy":
                (service.type_ != ServiceType::ClusterIP).then(|| service.external_traffic_policy.unwrap_or_default()),
            "loadBalancerClass": service.load_balancer_class.as_ref().filter(|_| balanced),
            "loadBalancerSourceRanges": (balanced && !service.source_ranges.is_empty()).then_some(&service.source_ranges),
        },
    }))
}

fn route(names: &Names<'_>, component: &str) -> Option<Object> {
    let route = names.0.spec.gateways.http_route.as_ref()?;
    let mut metadata = names.metadata(&names.0.name, component);
    annotate(&mut metadata, &json!(route.annotations));
    Some(Object::new(json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": metadata,
        "spec": {
            "hostnames": [route.host],
            "parentRefs": route.parent_refs,
            "rules": [{
                "matches": [{ "path": { "type": "PathPrefix", "value": "/v1" } }],
                "backendRefs": [{ "name": names.0.name, "port": names.0.service_port() }],
                // A socket stays open for days.
                "timeouts": { "request": "0s" },
            }],
        },
    })))
}

fn ingress(names: &Names<'_>, component: &str) -> Option<Object> {
    let ingress = names.0.spec.gateways.ingress.as_ref()?;
    let mut metadata = names.metadata(&names.0.name, component);
    annotate(&mut metadata, &json!(ingress.annotations));
    let backend = json!({ "service": { "name": names.0.name, "port": { "name": "client" } } });
    Some(Object::new(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": metadata,
        "spec": {
            "ingressClassName": ingress.class_name,
            "tls": ingress.tls_secret_name.as_ref().map(|secret| json!([{ "hosts": [ingress.host], "secretName": secret }])),
            "rules": [{
                "host": ingress.host,
                "http": { "paths": [{ "path": "/v1", "pathType": "Prefix", "backend": backend }] },
            }],
        },
    })))
}

fn annotate(metadata: &mut Value, annotations: &Value) {
    if annotations.as_object().is_some_and(|all| !all.is_empty()) {
        metadata["annotations"] = annotations.clone();
    }
}
