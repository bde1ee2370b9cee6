//! One pass over one cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::error_boundary::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use rand::RngExt as _;
use tokio::time::{Instant, timeout};

use super::admin::Admin;
use super::apply::{Applied, Applier};
use super::dereference::{ServedApis, dereference};
use super::generated::generate;
use super::memory::{ClusterMemory, Memory};
use super::metrics::Metrics;
use super::running::workloads;
use super::scale::{self, Scale, Scaled};
use super::tell::Teller;
use super::watches::Watches;
use super::{failure, now};
use crate::build::{COMPONENT, INSTANCE, Running, build, front, front_component, unsupported};
use crate::crd::ChatCluster;
use crate::scaling::{Rules, Wanted};
use crate::status::{ConditionReason, Observed, Obstacle, status};
use crate::validate::{Stack, ValidatedCluster, Version, validate};
use crate::workload::{Trouble, Workload};

/// A cluster as it is stored; it may be none that this operator can read.
pub(super) type Stored = DeserializeGuard<ChatCluster>;

/// Time a pass may take.
const PASS_WITHIN: Duration = Duration::from_mins(1);

/// Pause until the next pass where all is as wanted: a floor beneath the watches.
const RESYNC: Duration = Duration::from_mins(5);

/// Pause where pods are still starting: they are not watched, and say why.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Pause where somebody has to change something that is not watched, such as a Secret.
const ASK_AGAIN: Duration = Duration::from_secs(15);

/// Longest pause after failures in a row.
const LONGEST_BACKOFF: Duration = Duration::from_mins(5);

/// Everything that passes share.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) own: Version,
    pub(super) watches: Watches,
    pub(super) clusters: Store<Stored>,
    pub(super) memory: Memory,
    pub(super) apis: ServedApis,
    pub(super) metrics: Arc<Metrics>,
    pub(super) teller: Teller,
    pub(super) admin: Admin,
    /// When the operator began to work.
    pub(super) started: Instant,
    /// Cleared when the operator is to write nothing more.
    pub(super) leads: Arc<AtomicBool>,
}

/// What ends a pass early; it is told in the log and repeated.
#[derive(Debug, thiserror::Error)]
pub(super) enum PassError {
    #[error("the pass took longer than {} s", PASS_WITHIN.as_secs())]
    Slow,
    #[error("cannot write the status: {0}")]
    Status(#[from] kube::Error),
    #[error("{0}")]
    Obstacle(String),
}

/// Makes one pass.
pub(super) async fn reconcile(stored: Arc<Stored>, context: Arc<Context>) -> Result<Action, PassError> {
    let begun = Instant::now();
    forget_the_gone(&context);
    let uid = stored.meta().uid.clone().unwrap_or_default();
    let memory = context.memory.of(&uid);
    let mut memory = memory.lock().await;
    let passed = timeout(PASS_WITHIN, Box::pin(pass(&stored, &context, &mut memory))).await;
    let result = passed.unwrap_or(Err(PassError::Slow));
    match &result {
        Ok(_) => memory.failures = 0,
        Err(_) => memory.failures = memory.failures.saturating_add(1),
    }
    context.metrics.passed(if result.is_ok() { "done" } else { "failed" }, begun.elapsed());
    result
}

/// Decides when a pass that failed is repeated: after twice the pause each time, with jitter.
#[expect(clippy::needless_pass_by_value, reason = "it is what the controller hands over")]
pub(super) fn after_failure(stored: Arc<Stored>, error: &PassError, context: Arc<Context>) -> Action {
    let name = stored.name_any();
    tracing::warn!(namespace = stored.namespace(), name, %error, "a pass failed; it is repeated");
    let uid = stored.meta().uid.clone().unwrap_or_default();
    let failures = context.memory.of(&uid).try_lock().map_or(1, |memory| memory.failures);
    let pause = LONGEST_BACKOFF.min(Duration::from_millis(500).saturating_mul(1 << failures.min(10)));
    Action::requeue(jitter(pause))
}

fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.7..1.0))
}

fn forget_the_gone(context: &Context) {
    let there = context.clusters.state();
    if context.memory.len() > there.len() {
        context.memory.retain(|uid| there.iter().any(|cluster| cluster.meta().uid.as_deref() == Some(uid)));
    }
    context.metrics.clusters.set(i64::try_from(there.len()).unwrap_or(i64::MAX));
}

async fn pass(stored: &Stored, context: &Context, memory: &mut ClusterMemory) -> Result<Action, PassError> {
    let cluster = match &stored.0 {
        Ok(cluster) => cluster,
        Err(invalid) => return context.teller.tell_unreadable(invalid).await.map(|()| Action::requeue(RESYNC)),
    };
    // What it owns goes with it; pods get the time they need to move their sessions.
    if cluster.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    if !context.leads.load(Ordering::Relaxed) {
        return Ok(Action::await_change());
    }
    let mut observed = observe(cluster, context, memory).await;
    if observed.obstacle.is_some() {
        let namespace = cluster.namespace().unwrap_or_default();
        observed.workloads = workloads(context, &namespace, &cluster.uid().unwrap_or_default()).await;
    }
    let told = memory.status_of(cluster);
    let new = status(&told, &observed, &now());
    context.teller.tell(cluster, &told, new, memory).await?;
    match &observed.obstacle {
        Some(obstacle) if obstacle.passes => Err(PassError::Obstacle(obstacle.message.clone())),
        Some(_) => Ok(Action::requeue(jitter(ASK_AGAIN))),
        None => {
            let settled = observed.workloads.iter().all(Workload::is_settled);
            let floor = if settled { jitter(RESYNC) } else { LOOK_AGAIN };
            Ok(Action::requeue(observed.again.map_or(floor, |again| again.min(floor))))
        }
    }
}

/// Carries out what can be, and says what was seen.
async fn observe(cluster: &ChatCluster, context: &Context, memory: &mut ClusterMemory) -> Observed {
    let namespace = cluster.namespace().unwrap_or_default();
    let mut observed = Observed {
        generation: cluster.metadata.generation,
        paused: cluster.spec.paused,
        front: front_component(&cluster.spec),
        ..Observed::default()
    };
    let references = match dereference(&context.client, cluster, &namespace, &context.apis, memory).await {
        Ok(references) => references,
        Err(obstacle) => return Observed { obstacle: Some(obstacle), ..observed },
    };
    let valid = match validate(cluster, &references, &context.own) {
        Ok(valid) => valid,
        Err(faults) => {
            let first = faults.first();
            let obstacle = Obstacle {
                reason: first.map(|fault| fault.reason.to_string()).unwrap_or_default(),
                message: faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
                passes: false,
            };
            return Observed { obstacle: Some(obstacle), ..observed };
        }
    };
    observed.resolved = Some(valid.resolved());
    if let Some(message) = unsupported(&valid) {
        let reason = ConditionReason::NotSupported.name().to_owned();
        let obstacle = Obstacle { reason, message, passes: false };
        return Observed { obstacle: Some(obstacle), ..observed };
    }
    let mut waiting = match generate(&context.client, &valid, memory, cluster.spec.paused).await {
        Ok(waiting) => waiting,
        Err(obstacle) => return Observed { obstacle: Some(obstacle), ..observed },
    };
    let front = front(&valid);
    observed.selector.clone_from(&front.selector);
    let applier = Applier {
        client: &context.client,
        watches: &context.watches,
        metrics: &context.metrics,
        namespace: &namespace,
        cluster: &valid.name,
        frozen: cluster.spec.paused,
    };
    let set = match gateways(context, &valid).await {
        Ok(set) => set,
        Err(obstacle) => return Observed { obstacle: Some(obstacle), ..observed },
    };
    let objects = build(&valid, &running(&valid, set.as_ref(), cluster));
    let uid = cluster.uid().unwrap_or_default();
    let (found, obstacle) = match applier.apply(&objects, &uid, memory).await {
        Ok(found) => (found, None),
        Err((found, obstacle)) => (found, Some(obstacle)),
    };
    let Applied { workloads: found, pending, repaired, address } = found;
    context.metrics.repaired(repaired.len());
    context.teller.tell_repairs(cluster, &repaired).await;
    observed.trouble = trouble(context, &namespace, &valid.name, &found).await;
    observed.workloads = found;
    waiting.extend(pending);
    observed.pending = waiting;
    observed.url = front.url(address.as_deref());
    observed.obstacle = obstacle;
    if let (Some(set), None) = (&set, &observed.obstacle) {
        let scale = Scale { context, cluster: &valid, selector: &front.selector, frozen: cluster.spec.paused };
        match scale.pass(set, memory).await {
            Ok(Scaled { mut fleet, again }) => {
                fleet.connections = memory.told_connections(Instant::now(), fleet.connections);
                observed.fleet = Some(fleet);
                observed.again = Some(again);
            }
            Err(obstacle) => observed.obstacle = Some(obstacle),
        }
    }
    observed
}

/// Reads the StatefulSet of the gateways; `None` where there is none, and where one pod is everything.
async fn gateways(context: &Context, cluster: &ValidatedCluster) -> Result<Option<StatefulSet>, Obstacle> {
    let Stack::Full(_) = cluster.stack else { return Ok(None) };
    let api: Api<StatefulSet> = Api::namespaced(context.client.clone(), &cluster.namespace);
    let name = format!("{}-gateway", cluster.name);
    let read = api.get_opt(&name).await;
    read.map_err(|error| failure::obstacle(&name, "statefulsets", &cluster.namespace, &error))
}

/// Returns what is decided as the cluster runs: as many gateways as there are, whoever changed that; steps lead on from
/// there. Where their StatefulSet is gone, as many as there were.
fn running(valid: &ValidatedCluster, set: Option<&StatefulSet>, cluster: &ChatCluster) -> Running {
    let first = Running::first(valid);
    let Stack::Full(_) = valid.stack else { return first };
    let before = cluster.status.as_ref().and_then(|status| status.gateways.as_ref()).map(|gateways| gateways.desired);
    let rules = Rules::of(&valid.spec.gateways);
    let gateways = match (set, before, rules.wanted) {
        (Some(set), ..) => scale::replicas(set),
        (None, Some(before), Wanted::Connections { min, max, .. }) => before.clamp(min, max.max(min)),
        (None, ..) => first.gateways,
    };
    Running { gateways, ..first }
}

/// Asks pods that do not get ready why.
async fn trouble(context: &Context, namespace: &str, cluster: &str, all: &[Workload]) -> Option<Trouble> {
    let behind = all.iter().find(|workload| workload.ready < workload.wanted)?;
    let selector = format!("{INSTANCE}={cluster},{COMPONENT}={}", behind.component);
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    match api.list(&ListParams::default().labels(&selector).limit(50)).await {
        Ok(pods) => {
            let pods: Vec<_> = pods.iter().filter_map(|pod| serde_json::to_value(pod).ok()).collect();
            Trouble::of(&pods)
        }
        Err(error) => {
            let obstacle = failure::obstacle("the pods", "pods", namespace, &error);
            (obstacle.reason == ConditionReason::MissingRBAC.name())
                .then(|| Trouble { reason: obstacle.reason.clone(), message: obstacle.message })
        }
    }
}
