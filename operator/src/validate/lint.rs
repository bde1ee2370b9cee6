//! What may surprise in a cluster that is taken.

use super::{
    cluster::{Engines, RedisChoice, Stack, ValidatedCluster},
    fault::{LintReason, Warning},
};
use crate::crd::{AutoscalingMode, DeletionPolicy, SaslMechanism, ServiceType, Workers};

/// Lists what may surprise, in the order of the manifest's documentation.
pub fn lint(cluster: &ValidatedCluster) -> Vec<Warning> {
    let mut found = Found(Vec::new());
    images(cluster, &mut found);
    match &cluster.stack {
        Stack::Embedded(_) => embedded(cluster, &mut found),
        Stack::Full(engines) => full(cluster, engines, &mut found),
    }
    exposure(cluster, &mut found);
    if cluster.spec.deletion_policy == DeletionPolicy::Delete && !cluster.deletes_data {
        found.add(
            "spec.deletionPolicy",
            LintReason::NotConfirmed,
            format!("data is kept until there is the annotation `{}: {}`", super::CONFIRM_DELETE, cluster.name),
        );
    }
    found.0
}

struct Found(Vec<Warning>);

impl Found {
    fn add(&mut self, path: impl Into<String>, reason: LintReason, message: impl Into<String>) {
        self.0.push(Warning { path: path.into(), reason, message: message.into() });
    }

    fn when(&mut self, is: bool, path: &str, reason: LintReason, message: &str) {
        if is {
            self.add(path, reason, message);
        }
    }
}

fn images(cluster: &ValidatedCluster, found: &mut Found) {
    let given = &cluster.spec.images;
    let all =
        [("gateway", &given.gateway), ("workers", &given.workers), ("local", &given.local), ("redis", &given.redis)];
    for (name, image) in all {
        let Some(image) = image else { continue };
        let tag = image.rsplit('/').next().unwrap_or_default().split_once(':').map(|(_, tag)| tag);
        if !image.contains('@') && matches!(tag, None | Some("latest")) {
            let message = format!("{image} names no release; give a tag or a digest");
            found.add(format!("spec.images.{name}"), LintReason::MutableImage, message);
        }
    }
}

fn embedded(cluster: &ValidatedCluster, found: &mut Found) {
    let spec = &cluster.spec;
    let ignored = [
        (spec.workers != Workers::default(), "spec.workers"),
        (spec.gateways.pod_template != crate::crd::PodTemplate::default(), "spec.gateways.podTemplate"),
        (!spec.prefix.is_empty(), "spec.prefix"),
        (spec.upgrade.finalize_after.is_some(), "spec.upgrade.finalizeAfter"),
    ];
    for (is, path) in ignored {
        found.when(is, path, LintReason::HasNoEffect, "one pod runs everything with `engines.embedded`");
    }
}

fn full(cluster: &ValidatedCluster, engines: &Engines, found: &mut Found) {
    passwords(engines, found);
    redis(engines, found);
    let gateways = &cluster.spec.gateways;
    let (drain, most) = (&gateways.drain, gateways.max_connections());
    // Settling takes its part of the deadline.
    let seconds = drain.deadline().saturating_sub(drain.settle()).as_secs();
    let moved = seconds.saturating_mul(drain.reconnects_per_second().into());
    if moved < u64::from(most) {
        let message = format!(
            "{seconds} s at {} a second move {moved} connections, and a gateway holds up to {most}: the rest is closed",
            drain.reconnects_per_second()
        );
        found.add("spec.gateways.drain", LintReason::DrainTooShort, message);
    }
    if gateways.min_replicas() < 2 {
        let path = if gateways.replicas.is_some() { "replicas" } else { "autoscaling.min" };
        let message = "with fewer than two gateways every restart cuts all clients off";
        found.add(format!("spec.gateways.{path}"), LintReason::NoFailover, message);
    }
    let autoscaling = &gateways.autoscaling;
    if autoscaling.mode != AutoscalingMode::Connections && (autoscaling.min.is_some() || autoscaling.max.is_some()) {
        let message = format!("mode {:?} takes `replicas` as it is, whatever the bounds", autoscaling.mode);
        found.add("spec.gateways.autoscaling", LintReason::HasNoEffect, message);
    }
    workers(cluster, engines, found);
}

fn passwords(engines: &Engines, found: &mut Found) {
    let kafka = &engines.kafka.external;
    let in_the_clear = kafka.sasl.as_ref().is_some_and(|sasl| sasl.mechanism == SaslMechanism::Plain);
    let message = "the password travels as it is: turn on `tls`";
    let mut check = |is: bool, path: &str| found.when(is, path, LintReason::PlainPassword, message);
    check(in_the_clear && kafka.tls.is_none(), "spec.kafka.external.sasl");
    if let RedisChoice::External(redis) = &engines.redis {
        let plain = redis.urls.iter().any(|url| url.starts_with("redis://"));
        check(redis.auth.is_some() && plain, "spec.redis.external.auth");
    }
    let cassandra = &engines.cassandra.external;
    check(cassandra.auth.is_some() && cassandra.tls.is_none(), "spec.cassandra.external.auth");
    if let Some((search, _)) = &engines.search {
        check(search.auth.is_some() && search.url.starts_with("http://"), "spec.search.external.auth");
    }
}

fn redis(engines: &Engines, found: &mut Found) {
    match &engines.redis {
        RedisChoice::Managed(redis) => found.when(
            redis.replicas_per_shard() == 0,
            "spec.redis.managed.replicasPerShard",
            LintReason::NoFailover,
            "a shard without a replica is away while its pod restarts",
        ),
        RedisChoice::External(redis) => found.when(
            redis.tls.is_some() && redis.urls.iter().all(|url| url.starts_with("redis://")),
            "spec.redis.external.tls",
            LintReason::HasNoEffect,
            "no node is reached by TLS: write `rediss://`",
        ),
    }
}

fn workers(cluster: &ValidatedCluster, engines: &Engines, found: &mut Found) {
    let workers = &cluster.spec.workers;
    let partitions = engines.kafka.topics.partitions();
    if workers.sequencer.replicas() > partitions {
        let message = format!("{} sequencers share {partitions} partitions", workers.sequencer.replicas());
        found.add("spec.workers.sequencer.replicas", LintReason::IdleSequencers, message);
    }
    for (name, role) in [("sequencer", &workers.sequencer), ("receipts", &workers.receipts)] {
        let path = format!("spec.workers.{name}.replicas");
        let message = match role.replicas() {
            0 => "none runs: what they do waits",
            1 => "what it does waits while its pod restarts",
            _ => continue,
        };
        found.add(path, LintReason::NoFailover, message);
    }
    let push_is_off = !cluster.spec.push.is_enabled();
    let message = "push is off: no vendor is given under `push`";
    found.when(push_is_off && workers.push.replicas.is_some(), "spec.workers.push", LintReason::HasNoEffect, message);
    let message = "search is off";
    let no_search = engines.search.is_none() && workers.indexer.replicas.is_some();
    found.when(no_search, "spec.workers.indexer", LintReason::HasNoEffect, message);
}

fn exposure(cluster: &ValidatedCluster, found: &mut Found) {
    let gateways = &cluster.spec.gateways;
    let plain = gateways.service.type_ == ServiceType::LoadBalancer && gateways.tls.is_none();
    // A load balancer may end TLS itself; it is told so by annotations.
    found.when(
        plain && gateways.service.annotations.is_empty(),
        "spec.gateways.service",
        LintReason::PlainPassword,
        "tokens travel as they are: give `tls`, or annotations by which the load balancer ends TLS",
    );
    let served_twice =
        gateways.tls.is_some() && gateways.ingress.as_ref().is_some_and(|ingress| ingress.annotations.is_empty());
    found.when(
        served_twice,
        "spec.gateways.ingress",
        LintReason::HasNoEffect,
        "gateways serve TLS themselves, and most controllers must be told by an annotation to speak it to them",
    );
}
