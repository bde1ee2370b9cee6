//! What a manifest may ask for and this release does not run yet.

use crate::{
    crd::Relay,
    validate::{Engines, RedisChoice, Stack, ValidatedCluster},
};

/// Says what is not run, by field, and what is instead; `None` where all is.
pub fn unsupported(cluster: &ValidatedCluster) -> Option<String> {
    let Stack::Full(engines) = &cluster.stack else { return None };
    let gateways = &cluster.spec.gateways;
    let all = [
        (
            matches!(engines.redis, RedisChoice::Managed(_)),
            "spec.redis.managed: this release runs no Redis; name one by `redis: {external: {urls}}`",
        ),
        (
            gateways.tls.is_some(),
            "spec.gateways.tls: gateways speak plain http; end TLS at `httpRoute`, `ingress` or a load balancer",
        ),
        (gateways.relay == Relay::User, "spec.gateways.relay: this release relays by `Gateway` only"),
        (
            has_unusable_tls(engines),
            "spec.cassandra.external.tls, spec.search.external.tls: the servers are trusted by `caSecretRef`, and no \
             client certificate is shown",
        ),
        (
            engines.cassandra.keyspace.manage() && cluster.copies.keyspace.len() > 1,
            "spec.cassandra.keyspace: a keyspace in several data centres is made by yourself, with `manage: false`",
        ),
    ];
    let found: Vec<&str> = all.into_iter().filter(|(is, _)| *is).map(|(_, why)| why).collect();
    (!found.is_empty()).then(|| found.join("; "))
}

fn has_unusable_tls(engines: &Engines) -> bool {
    let cassandra = engines.cassandra.external.tls.as_ref();
    let search = engines.search.as_ref().and_then(|(servers, _)| servers.tls.as_ref());
    cassandra.is_some_and(|tls| tls.ca_secret_ref.is_none())
        || cassandra.into_iter().chain(search).any(|tls| tls.client_certificate_secret_ref.is_some())
}
