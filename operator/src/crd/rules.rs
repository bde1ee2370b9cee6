//! CEL rules: conditions that join several fields, evaluated by the API server and by [`crate::manifest`] alike.
//!
//! A rule names the field to change, so that its problem is shown there. Defaults in rules are taken from the accessors,
//! so the two cannot drift. Rules on two versions of an object (`oldSelf`) sit at `spec`, never deeper, because deeper
//! ones are skipped when their field goes away; they guard presence, so a value can be neither added nor removed.

use kube::core::{Reason, Rule};

use super::{Autoscaling, Drain, LimitValues, Topics};

/// Condition: the pod with the whole stack is asked for.
const EMBEDDED: &str = "(has(self.engines) && has(self.engines.embedded))";

/// Condition: some engine of the full stack is given.
const FULL_STACK: &str = "(has(self.redis) || has(self.kafka) || has(self.cassandra))";

/// Refuses a cluster without any engine.
pub(super) fn some_engine() -> Rule {
    refuse_missing(
        format!("{EMBEDDED} || {FULL_STACK}"),
        "no engine is given: write `engines: {embedded: {}}` for a quick start in one pod, or give all of `redis`, \
         `kafka`, `cassandra` and `search` for a full cluster",
        ".engines",
    )
}

/// Asks for Redis where another engine of the full stack is given.
pub(super) fn redis_given() -> Rule {
    engine_given("redis", "write `redis: {managed: {}}`, or name one that exists by `redis.external`")
}

/// Asks for Kafka where another engine of the full stack is given.
pub(super) fn kafka_given() -> Rule {
    engine_given("kafka", "name one that exists by `kafka.external`")
}

/// Asks for Cassandra where another engine of the full stack is given.
pub(super) fn cassandra_given() -> Rule {
    engine_given("cassandra", "name one that exists by `cassandra.external`")
}

fn engine_given(engine: &str, advice: &str) -> Rule {
    refuse_missing(
        format!("{EMBEDDED} || !{FULL_STACK} || has(self.{engine})"),
        format!("a full cluster needs {engine}: {advice}"),
        format!(".{engine}"),
    )
}

/// Asks for a decision on search where the full stack is given.
pub(super) fn search_decided() -> Rule {
    refuse_missing(
        format!(
            "{EMBEDDED} || !{FULL_STACK} || \
             (has(self.search) && (has(self.search.external) || has(self.search.disabled)))"
        ),
        "a full cluster needs a decision on search: name an Elasticsearch by `search.external`, or write \
         `search: {disabled: {}}`",
        ".search",
    )
}

/// Refuses other engines beside the pod with the whole stack.
pub(super) fn embedded_stands_alone() -> Rule {
    refuse(
        format!("!{EMBEDDED} || !({FULL_STACK} || (has(self.search) && has(self.search.external)))"),
        "at most one of `engines.embedded` and the engines of a full cluster (`redis`, `kafka`, `cassandra`, \
         `search.external`) may be given",
        ".engines.embedded",
    )
}

/// Refuses sequencers that would have no partition.
pub(super) fn sequencers_fit_partitions() -> Rule {
    let partitions = Topics::PARTITIONS;
    refuse(
        format!(
            "!(has(self.workers) && has(self.workers.sequencer) && has(self.workers.sequencer.replicas)) || \
             self.workers.sequencer.replicas <= (has(self.kafka) && has(self.kafka.topics) && \
             has(self.kafka.topics.partitions) ? self.kafka.topics.partitions : {partitions})"
        ),
        format!("may not exceed `kafka.topics.partitions` (default {partitions}): a partition has one sequencer"),
        ".workers.sequencer.replicas",
    )
}

/// Keeps the prefix: names in engines carry it.
pub(super) fn prefix_is_kept() -> Rule {
    keep(
        "(has(self.prefix) ? self.prefix : '') == (has(oldSelf.prefix) ? oldSelf.prefix : '')",
        "is immutable: names in engines carry it",
        ".prefix",
    )
}

/// Keeps the choice between the pod with the whole stack and the full stack.
pub(super) fn engine_kind_is_kept() -> Rule {
    keep(
        "(has(self.engines) && has(self.engines.embedded)) == (has(oldSelf.engines) && has(oldSelf.engines.embedded))",
        "the kind of engines is immutable: make a new ChatCluster to go from the embedded stack to a full one, or back",
        ".engines",
    )
}

/// Keeps the choice between managed and external Redis.
pub(super) fn redis_kind_is_kept() -> Rule {
    keep(
        "!has(self.redis) || !has(oldSelf.redis) || has(self.redis.external) == has(oldSelf.redis.external)",
        "the kind of Redis, managed or external, is immutable",
        ".redis",
    )
}

/// Keeps the number of partitions: a chat stays in its partition.
pub(super) fn partitions_are_kept() -> Rule {
    keep_value("kafka", "topics", "partitions", "a chat stays in its partition")
}

/// Keeps the name of the keyspace: the messages are in it.
pub(super) fn keyspace_is_kept() -> Rule {
    keep_value("cassandra", "keyspace", "name", "the messages are in it")
}

fn keep_value(engine: &str, group: &str, field: &str, reason: &str) -> Rule {
    let given = |version| format!("(has({version}.{engine}.{group}) && has({version}.{engine}.{group}.{field}))");
    let (now, before) = (given("self"), given("oldSelf"));
    keep(
        format!(
            "!has(self.{engine}) || !has(oldSelf.{engine}) || ({now} == {before} && \
             (!{now} || self.{engine}.{group}.{field} == oldSelf.{engine}.{group}.{field}))"
        ),
        format!("is immutable, and can be neither added nor removed: {reason}"),
        format!(".{engine}.{group}.{field}"),
    )
}

/// Refuses both kinds of Redis.
pub(super) fn one_redis() -> Rule {
    at_most_one("managed", "external")
}

/// Refuses two shards: neither could outvote the other.
pub(super) fn shards_can_vote() -> Rule {
    refuse(
        "!has(self.shards) || self.shards != 2",
        "must be 1, or 3 and more: of two shards neither can outvote the other when one fails",
        ".shards",
    )
}

/// Refuses search that is both on and off.
pub(super) fn one_search() -> Rule {
    at_most_one("external", "disabled")
}

/// Refuses an index where there is no search engine.
pub(super) fn index_needs_search() -> Rule {
    refuse("!has(self.index) || has(self.external)", "may be given only with `external`", ".index")
}

/// Ties `replicas` to the modes in which it decides, so that `kubectl scale` fails loudly in the other.
pub(super) fn replicas_fit_mode() -> Rule {
    refuse(
        "(!has(self.autoscaling) || self.autoscaling.mode == 'Connections') != has(self.replicas)",
        "must be given when `autoscaling.mode` is Fixed or External, and only then: with Connections the operator \
         decides the number of gateways",
        ".replicas",
    )
}

/// Refuses two ways in.
pub(super) fn one_route() -> Rule {
    at_most_one("httpRoute", "ingress")
}

/// Refuses a gateway that would be full before it reaches its target.
pub(super) fn connections_fit_target() -> Rule {
    let target = Autoscaling::default().target_connections();
    refuse(
        format!(
            "!has(self.maxConnections) || self.maxConnections >= (has(self.autoscaling) && \
             has(self.autoscaling.targetConnections) ? self.autoscaling.targetConnections : {target})"
        ),
        format!("must be at least `autoscaling.targetConnections` (default {target})"),
        ".maxConnections",
    )
}

/// Refuses `*` beside other origins: it would allow them all.
pub(super) fn star_stands_alone() -> Rule {
    Rule::new("self.size() <= 1 || !self.exists(origin, origin == '*')")
        .message("`*` allows every origin and stands alone")
        .reason(Reason::FieldValueInvalid)
}

/// Refuses a lower bound above the upper one.
pub(super) fn bounds_in_order() -> Rule {
    let (min, max) = (Autoscaling::default().min(), Autoscaling::default().max());
    refuse(
        format!("{} <= {}", or("min", min), or("max", max)),
        format!("may not exceed `max` (defaults: min {min}, max {max})"),
        ".min",
    )
}

/// Refuses a drain that is over before it begins.
pub(super) fn settling_fits_deadline() -> Rule {
    let (settle, deadline) = (Drain::default().settle().as_secs(), Drain::default().deadline().as_secs());
    refuse(
        format!("{} < {}", or("settleSeconds", settle), or("deadlineSeconds", deadline)),
        format!("must be less than `deadlineSeconds` (defaults: {settle} and {deadline})"),
        ".settleSeconds",
    )
}

/// Refuses `externalTrafficPolicy` where there is no traffic from outside.
pub(super) fn traffic_policy_fits_type() -> Rule {
    refuse(
        "!has(self.externalTrafficPolicy) || self.type != 'ClusterIP'",
        "may be given only with type NodePort or LoadBalancer",
        ".externalTrafficPolicy",
    )
}

/// Refuses `loadBalancerClass` without a load balancer.
pub(super) fn class_fits_type() -> Rule {
    only_with_load_balancer("loadBalancerClass")
}

/// Refuses `sourceRanges` without a load balancer.
pub(super) fn ranges_fit_type() -> Rule {
    only_with_load_balancer("sourceRanges")
}

fn only_with_load_balancer(field: &str) -> Rule {
    refuse(
        format!("!has(self.{field}) || self.type == 'LoadBalancer'"),
        "may be given only with type LoadBalancer",
        format!(".{field}"),
    )
}

/// Asks for exactly one key: a verifier without a key could accept nothing.
pub(super) fn one_key() -> Rule {
    Rule::new("has(self.hs256) != has(self.jwks)")
        .message("exactly one of `hs256` and `jwks` must be given")
        .reason(Reason::FieldValueInvalid)
}

/// Pins algorithms to the kind of key, so that a public key is never taken for a shared secret.
pub(super) fn algorithms_fit_key() -> Rule {
    refuse(
        "!has(self.algorithms) || self.algorithms.all(algorithm, (algorithm == 'HS256') == has(self.hs256))",
        "must be HS256 with `hs256`, and anything else with `jwks`",
        ".algorithms",
    )
}

/// Refuses content that no frame can hold.
pub(super) fn content_fits_frame() -> Rule {
    fits_frame("contentBytes", LimitValues::default().content_bytes)
}

/// Refuses `meta` that no frame can hold.
pub(super) fn meta_fits_frame() -> Rule {
    fits_frame("metaBytes", LimitValues::default().meta_bytes)
}

fn fits_frame(field: &str, default: u32) -> Rule {
    let frame = LimitValues::default().frame_bytes;
    refuse(
        format!("{} <= {}", or(field, default), or("frameBytes", frame)),
        format!("may not exceed `frameBytes` (defaults: {default} and {frame})"),
        format!(".{field}"),
    )
}

/// Refuses a burst below the rate.
pub(super) fn burst_holds_rate() -> Rule {
    refuse("!has(self.burst) || self.burst >= self.perSecond", "must be at least `perSecond`", ".burst")
}

/// Keeps `CHAT_*` for the operator, which passes its settings by them.
pub(super) fn no_chat_variable() -> Rule {
    Rule::new("!self.startsWith('CHAT_')")
        .message("may not start with CHAT_: those variables are the operator's")
        .reason(Reason::FieldValueForbidden)
}

/// Refuses a variable with a value and a source.
pub(super) fn value_or_source() -> Rule {
    at_most_one("value", "valueFrom")
}

/// Refuses a variable with two sources.
pub(super) fn one_source() -> Rule {
    at_most_one("secretKeyRef", "configMapKeyRef")
}

fn at_most_one(first: &str, second: &str) -> Rule {
    Rule::new(format!("!(has(self.{first}) && has(self.{second}))"))
        .message(format!("at most one of `{first}` and `{second}` may be given").as_str())
        .reason(Reason::FieldValueInvalid)
}

fn refuse(rule: impl Into<String>, message: impl AsRef<str>, field: impl Into<String>) -> Rule {
    Rule::new(rule).message(message.as_ref()).field_path(field).reason(Reason::FieldValueInvalid)
}

fn refuse_missing(rule: impl Into<String>, message: impl AsRef<str>, field: impl Into<String>) -> Rule {
    refuse(rule, message, field).reason(Reason::FieldValueRequired)
}

fn keep(rule: impl Into<String>, message: impl AsRef<str>, field: impl Into<String>) -> Rule {
    refuse(rule, message, field).reason(Reason::FieldValueForbidden)
}

/// Expression: a number, or its default where the manifest names none.
fn or(field: &str, default: impl std::fmt::Display) -> String {
    format!("(has(self.{field}) ? self.{field} : {default})")
}
