//! Carrying out how many gateways there are: one step a pass, and drains renewed each time.

use std::time::Duration;

use chat_core::clock::{Clock as _, SystemClock, Time};
use futures_util::future::join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod as LivePod, Secret};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Error};
use serde_json::json;
use tokio::time::Instant;

use super::admin::Token;
use super::failure;
use super::memory::ClusterMemory;
use super::pass::Context;
use crate::crd::DrainProgress;
use crate::fleet::{DRAIN, Intent, Member, Pod, left, seen, stale};
use crate::scaling::{Gateway, Phase, Plan, Reason, Rules, Scaler, Step, pace};
use crate::status::{Fleet, Obstacle};
use crate::validate::ValidatedCluster;

/// How often gateways are asked while nothing is under way.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How often while some move their connections off, or start.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// How long the admin token is kept.
const TOKEN_FOR: Duration = Duration::from_mins(1);

/// What a pass found out about the gateways.
pub(super) struct Scaled {
    pub(super) fleet: Fleet,
    /// When they are to be asked again.
    pub(super) again: Duration,
}

/// Who scales the gateways of one cluster.
pub(super) struct Scale<'a> {
    pub(super) context: &'a Context,
    pub(super) cluster: &'a ValidatedCluster,
    /// Selector of their pods.
    pub(super) selector: &'a str,
    /// Whether nothing is changed.
    pub(super) frozen: bool,
}

impl Scale<'_> {
    /// Asks the gateways, and makes the next step. `set` is their StatefulSet as it was just read.
    pub(super) async fn pass(&self, set: &StatefulSet, memory: &mut ClusterMemory) -> Result<Scaled, Obstacle> {
        let rules = Rules::of(&self.cluster.spec.gateways);
        let replicas = replicas(set);
        let token = self.token(memory).await?;
        let members = self.members(&token).await?;
        let gateways = seen(&members, replicas);
        let plan = self.plan(&rules, &gateways, memory);
        if !self.frozen {
            self.renew(&rules, &members, &gateways, &token).await;
            self.step(set, replicas, &members, &plan).await?;
        }
        let under_way = plan.step != Step::Keep || gateways.iter().any(|it| it.phase != Phase::Ready);
        Ok(Scaled {
            fleet: fleet(&members, &gateways, &plan),
            again: if under_way { FOLLOW_EVERY } else { LOOK_EVERY },
        })
    }

    fn plan(&self, rules: &Rules, gateways: &[Gateway], memory: &mut ClusterMemory) -> Plan {
        let now = self.context.started.elapsed();
        let scaler = memory.scaler.get_or_insert_with(|| Scaler::new(now));
        scaler.observe(now, rules, gateways);
        scaler.plan(now, rules, gateways)
    }

    async fn members(&self, token: &Token) -> Result<Vec<Member>, Obstacle> {
        let list = self.pods().list(&ListParams::default().labels(self.selector)).await;
        let list = list.map_err(|error| self.failed("the pods", "pods", &error))?;
        let pods = list.items.iter().filter_map(|pod| Pod::of(&serde_json::to_value(pod).ok()?));
        let asked = pods.map(async |pod| {
            let answer = match &pod.ip {
                Some(ip) => self.context.admin.status(ip, token).await,
                None => None,
            };
            Member { pod, answer }
        });
        Ok(join_all(asked).await)
    }

    /// Makes one step: fewer where the last ones are drained, else what the plan says.
    async fn step(&self, set: &StatefulSet, replicas: u32, members: &[Member], plan: &Plan) -> Result<(), Obstacle> {
        let stale = stale(members, SystemClock.now());
        if !stale.is_empty() {
            return self.mark(members, &stale, None).await;
        }
        let left = left(members, replicas, SystemClock.now());
        if left < replicas && !matches!(plan.step, Step::Withdraw(_)) {
            return self.set_replicas(set, left, plan).await;
        }
        match &plan.step {
            Step::Keep => Ok(()),
            Step::Add(more) => self.set_replicas(set, replicas.saturating_add(*more), plan).await,
            Step::Drain(ordinals) => {
                let deadline = self.cluster.spec.gateways.drain.deadline();
                let deadline = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
                let intent =
                    Intent { reason: "ScaleIn".to_owned(), deadline_at: SystemClock.now().plus_millis(deadline) };
                self.mark(members, ordinals, Some(&intent)).await
            }
            Step::Withdraw(ordinals) => self.mark(members, ordinals, None).await,
        }
    }

    /// Writes how many there are, if nobody wrote the StatefulSet meanwhile.
    async fn set_replicas(&self, set: &StatefulSet, replicas: u32, plan: &Plan) -> Result<(), Obstacle> {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        tracing::info!(name, replicas, desired = plan.desired, reason = %plan.reason, "changes the number of gateways");
        let patch = json!({
            "metadata": { "resourceVersion": set.metadata.resource_version },
            "spec": { "replicas": replicas },
        });
        let written = self.sets().patch(name, &params(), &Patch::Merge(patch)).await;
        settled(written).map_err(|error| self.failed(name, "statefulsets", &error))
    }

    /// Marks pods as going, or takes the mark off.
    async fn mark(&self, members: &[Member], ordinals: &[u32], intent: Option<&Intent>) -> Result<(), Obstacle> {
        for member in members.iter().filter(|member| ordinals.contains(&member.pod.ordinal)) {
            let name = &member.pod.name;
            tracing::info!(name, going = intent.is_some(), "marks a gateway");
            let mark = intent.and_then(|intent| serde_json::to_string(intent).ok());
            let patch = json!({
                "metadata": { "resourceVersion": member.pod.version, "annotations": { DRAIN: mark } },
            });
            let written = self.pods().patch(name, &params(), &Patch::Merge(patch)).await;
            settled(written).map_err(|error| self.failed(name, "pods", &error))?;
        }
        Ok(())
    }

    /// Tells pods that are marked to move their connections off, and all others that they need not.
    async fn renew(&self, rules: &Rules, members: &[Member], gateways: &[Gateway], token: &Token) {
        let rate = self.cluster.spec.gateways.drain.reconnects_per_second();
        let rate = pace(rate, rules.capacity, gateways, FOLLOW_EVERY);
        let stale = stale(members, SystemClock.now());
        let members = members.iter().filter(|member| !stale.contains(&member.pod.ordinal));
        let told = members.map(async |member| {
            let Some(ip) = &member.pod.ip else { return };
            match (&member.pod.intent, &member.answer) {
                (Some(intent), _) => _ = self.context.admin.drain(ip, token, intent.deadline_at, rate).await,
                // One that ends moves them off by itself.
                (None, Some(answer)) if answer.draining && !member.pod.ends => {
                    _ = self.context.admin.withdraw(ip, token).await;
                }
                (None, _) => {}
            }
        });
        join_all(told).await;
    }

    async fn token(&self, memory: &mut ClusterMemory) -> Result<Token, Obstacle> {
        if let Some((at, token)) = &memory.token
            && at.elapsed() < TOKEN_FOR
        {
            return Ok(token.clone());
        }
        let (name, key) = self.cluster.admin_token();
        let api: Api<Secret> = Api::namespaced(self.context.client.clone(), &self.cluster.namespace);
        let secret = api.get(&name).await.map_err(|error| self.failed(&format!("Secret {name}"), "secrets", &error))?;
        let bytes = secret.data.unwrap_or_default().remove(&key).unwrap_or_default().0;
        let token = Token(String::from_utf8_lossy(&bytes).trim().to_owned());
        memory.token = Some((Instant::now(), token.clone()));
        Ok(token)
    }

    fn pods(&self) -> Api<LivePod> {
        Api::namespaced(self.context.client.clone(), &self.cluster.namespace)
    }

    fn sets(&self) -> Api<StatefulSet> {
        Api::namespaced(self.context.client.clone(), &self.cluster.namespace)
    }

    fn failed(&self, what: &str, resource: &str, error: &Error) -> Obstacle {
        failure::obstacle(what, resource, &self.cluster.namespace, error)
    }
}

/// Returns how many pods a StatefulSet is to have.
pub(super) fn replicas(set: &StatefulSet) -> u32 {
    let replicas = set.spec.as_ref().and_then(|spec| spec.replicas);
    replicas.and_then(|replicas| u32::try_from(replicas).ok()).unwrap_or(1)
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some("chat-operator/scale".to_owned()), ..PatchParams::default() }
}

/// Takes a conflict, or an object that is gone, for what the next pass looks at again.
fn settled<T>(written: Result<T, Error>) -> Result<(), Error> {
    match written {
        Err(Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(()),
        written => written.map(drop),
    }
}

fn fleet(members: &[Member], gateways: &[Gateway], plan: &Plan) -> Fleet {
    let progress = members.iter().filter_map(|member| {
        let drain = member.answer.as_ref()?.drain.as_ref()?;
        let count = |sessions: u64| u32::try_from(sessions).unwrap_or(u32::MAX);
        Some(DrainProgress {
            pod: member.pod.name.clone(),
            started_at: moment(drain.started_at),
            initial: count(drain.initial),
            remaining: count(drain.remaining),
            deadline: moment(drain.deadline_at),
        })
    });
    Fleet {
        connections: gateways.iter().filter_map(|gateway| gateway.connections).sum(),
        draining: u32::try_from(gateways.iter().filter(|it| !it.phase.stays()).count()).unwrap_or(u32::MAX),
        drains: progress.take(100).collect(),
        reason: match plan.reason {
            // Not how long: it would be another status each time.
            Reason::Observing(_) => "looks on before any goes".to_owned(),
            reason => reason.to_string(),
        },
    }
}

fn moment(time: Time) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Time {
    let seconds = i64::try_from(time.millis() / 1000).unwrap_or_default();
    k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        k8s_openapi::jiff::Timestamp::from_second(seconds).unwrap_or_default(),
    )
}
