//! Telling people: status, and events on transitions.

use kube::api::{Patch, PatchParams};
use kube::core::error_boundary::InvalidObject;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;

use super::memory::ClusterMemory;
use super::metrics::Metrics;
use super::now;
use super::pass::PassError;
use crate::build::OPERATOR;
use crate::crd::{ChatCluster, ChatClusterStatus};
use crate::status::{ConditionReason, Observed, Obstacle, status};

/// Who writes the status, in its managed fields.
const FIELD_MANAGER: &str = "chat-operator/status";

/// Writes status and events.
pub(super) struct Teller {
    client: Client,
    recorder: Recorder,
    metrics: std::sync::Arc<Metrics>,
}

impl Teller {
    /// Makes the one that all clusters share, so that equal events are counted and not repeated.
    pub(super) fn new(client: Client, instance: String, metrics: std::sync::Arc<Metrics>) -> Self {
        let reporter = Reporter { controller: OPERATOR.to_owned(), instance: Some(instance) };
        Self { recorder: Recorder::new(client.clone(), reporter), client, metrics }
    }

    /// Writes the status where it differs, and an event for what it means to people.
    pub(super) async fn tell(
        &self,
        cluster: &ChatCluster,
        old: &ChatClusterStatus,
        new: ChatClusterStatus,
        memory: &mut ClusterMemory,
    ) -> Result<(), PassError> {
        if *old == new {
            return Ok(());
        }
        let version = self.write(&cluster.namespace().unwrap_or_default(), &cluster.name_any(), &new).await?;
        for (type_, reason, note) in transitions(old, &new) {
            self.publish(cluster, type_, reason, note).await;
        }
        memory.status = Some((new, version));
        Ok(())
    }

    /// Tells that objects were put right which somebody had changed or deleted.
    pub(super) async fn tell_repairs(&self, cluster: &ChatCluster, objects: &[String]) {
        if !objects.is_empty() {
            let note = format!("put right what was changed by hand: {}", objects.join(", "));
            self.publish(cluster, EventType::Normal, "Repaired".to_owned(), note).await;
        }
    }

    /// Says of a cluster that cannot be read that it cannot.
    pub(super) async fn tell_unreadable(&self, invalid: &InvalidObject) -> Result<(), PassError> {
        let metadata = &invalid.metadata;
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let name = metadata.name.clone().unwrap_or_default();
        let obstacle = Obstacle {
            reason: ConditionReason::Unreadable.name().to_owned(),
            message: format!("the stored object cannot be read: {}", invalid.error),
            passes: false,
        };
        let observed = Observed { generation: metadata.generation, obstacle: Some(obstacle), ..Observed::default() };
        // Its own status may be what cannot be read; without it the time is that of the manifest's making.
        let since = metadata.creation_timestamp.clone().unwrap_or_else(now);
        self.write(&namespace, &name, &status(&ChatClusterStatus::default(), &observed, &since)).await?;
        Ok(())
    }

    async fn write(&self, namespace: &str, name: &str, status: &ChatClusterStatus) -> Result<String, kube::Error> {
        self.metrics.wrote("ChatCluster", "status");
        let api: Api<super::pass::Stored> = Api::namespaced(self.client.clone(), namespace);
        let patch = json!({ "apiVersion": "chatcluster.dev/v1alpha1", "kind": "ChatCluster", "status": status });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let written = api.patch_status(name, &params, &Patch::Apply(&patch)).await?;
        Ok(written.resource_version().unwrap_or_default())
    }

    async fn publish(&self, cluster: &ChatCluster, type_: EventType, reason: String, note: String) {
        self.metrics.wrote("Event", "create");
        let event = Event {
            type_,
            reason,
            // The API server takes no more.
            note: Some(note.chars().take(1000).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &cluster.object_ref(&())).await {
            tracing::warn!(%error, "cannot write an event");
        }
    }
}

/// Lists what a change of the status means to people: an event a transition, none for what only goes on.
fn transitions(old: &ChatClusterStatus, new: &ChatClusterStatus) -> Vec<(EventType, String, String)> {
    let find = |status: &ChatClusterStatus, kind: &str| {
        let found = status.conditions.iter().find(|condition| condition.type_ == kind);
        found.map(|it| (it.status.clone(), it.reason.clone(), it.message.clone()))
    };
    let mut events = Vec::new();
    let is_true = |found: &Option<(String, String, String)>| found.as_ref().is_some_and(|it| it.0 == "True");
    for kind in ["Ready", "Stalled", "Paused"] {
        let (before, after) = (find(old, kind), find(new, kind));
        let Some((status, reason, message)) = after.clone() else { continue };
        let turned = is_true(&before) != is_true(&after);
        let other_reason = kind == "Stalled" && before.as_ref().is_some_and(|it| it.1 != reason);
        if !turned && !other_reason {
            continue;
        }
        let is = status == "True";
        let (type_, note) = match (kind, is) {
            ("Ready", true) => (EventType::Normal, "the cluster serves".to_owned()),
            ("Ready", false) => (EventType::Warning, format!("the cluster is no longer ready: {message}")),
            ("Stalled", true) => (EventType::Warning, message),
            ("Stalled", false) => (EventType::Normal, "the manifest can be carried out again".to_owned()),
            ("Paused", true) => (EventType::Normal, "changes are frozen".to_owned()),
            _ => (EventType::Normal, "changes are made again".to_owned()),
        };
        events.push((type_, reason, note));
    }
    events
}
