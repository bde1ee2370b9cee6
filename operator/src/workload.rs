//! A workload as one pass sees it. Pure.

use serde_json::Value;

use crate::status::ConditionReason;

/// Kinds of workloads.
pub const KINDS: [&str; 3] = ["StatefulSet", "Deployment", "Job"];

/// How far the pods of a StatefulSet or a Deployment are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Kind, as in `StatefulSet`.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Component of the cluster.
    pub component: String,
    /// Pods that are asked for.
    pub wanted: u64,
    /// Pods that are ready.
    pub ready: u64,
    /// Pods that run what is asked for now.
    pub updated: u64,
    /// Whether its own controller has seen what is asked for now.
    pub observed: bool,
}

impl Workload {
    /// Reads a workload; `None` for other kinds of objects.
    pub fn of(object: &Value) -> Option<Self> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let kind = text("/kind");
        if !KINDS.contains(&kind.as_str()) {
            return None;
        }
        // A Job is there once it is done.
        let is_job = kind == "Job";
        let done = u64::from(number("/status/succeeded") > 0);
        Some(Self {
            name: text("/metadata/name"),
            component: text("/metadata/labels/app.kubernetes.io~1component"),
            wanted: if is_job { 1 } else { number("/spec/replicas") },
            ready: if is_job { done } else { number("/status/readyReplicas") },
            updated: if is_job { done } else { number("/status/updatedReplicas") },
            observed: is_job || number("/status/observedGeneration") >= number("/metadata/generation"),
            kind,
        })
    }

    /// Tells whether all its pods run what is asked for, and are ready.
    pub fn is_settled(&self) -> bool {
        self.observed && self.ready >= self.wanted && self.updated >= self.wanted
    }
}

/// Why pods do not get ready, as far as they tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One of the reasons that Kubernetes has for it, as in `ImagePullBackOff`.
    pub reason: String,
    /// What the pod says.
    pub message: String,
}

impl Trouble {
    /// Reads the first trouble of a list of pods.
    pub fn of(pods: &[Value]) -> Option<Self> {
        pods.iter().find_map(|pod| provisioning(pod).or_else(|| container(pod)).or_else(|| scheduling(pod)))
    }
}

/// Reads what `chat-workers provision` left as its last word.
fn provisioning(pod: &Value) -> Option<Trouble> {
    let statuses = pod.pointer("/status/containerStatuses")?.as_array()?;
    let words = statuses.iter().flat_map(|status| {
        let last = ["/state/terminated/message", "/lastState/terminated/message"];
        last.into_iter().filter_map(|pointer| status.pointer(pointer)?.as_str())
    });
    let reports = words.filter_map(|word| serde_json::from_str::<Value>(word).ok());
    let failed = reports.into_iter().find(|report| report["ready"] == false)?;
    let why = ["topics", "keyspace", "index"].into_iter().filter_map(|part| {
        let reason = failed[part]["reason"].as_str()?;
        Some(format!("{part}: {reason}"))
    });
    let message = why.collect::<Vec<_>>().join("; ");
    Some(Trouble { reason: ConditionReason::ProvisioningFailed.name().to_owned(), message })
}

fn container(pod: &Value) -> Option<Trouble> {
    let statuses = pod.pointer("/status/containerStatuses")?.as_array()?;
    statuses.iter().find_map(|status| {
        let waiting = status.pointer("/state/waiting")?;
        let reason = waiting.get("reason")?.as_str()?;
        if matches!(reason, "ContainerCreating" | "PodInitializing") {
            return None;
        }
        let said = waiting.get("message").and_then(Value::as_str).unwrap_or("no more is said");
        Some(Trouble { reason: reason.to_owned(), message: format!("pod {}: {said}", name(pod)) })
    })
}

fn scheduling(pod: &Value) -> Option<Trouble> {
    let conditions = pod.pointer("/status/conditions")?.as_array()?;
    let unscheduled = conditions.iter().find(|it| it["type"] == "PodScheduled" && it["status"] == "False")?;
    let said = unscheduled.get("message").and_then(Value::as_str).unwrap_or("no node takes it");
    Some(Trouble { reason: "Unschedulable".to_owned(), message: format!("pod {}: {said}", name(pod)) })
}

fn name(pod: &Value) -> &str {
    pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stateful_set(generation: u64, observed: u64, ready: u64, updated: u64) -> Value {
        json!({
            "kind": "StatefulSet", "metadata": {"name": "demo-local", "generation": generation},
            "spec": {"replicas": 1},
            "status": {"observedGeneration": observed, "readyReplicas": ready, "updatedReplicas": updated},
        })
    }

    #[test]
    fn pods_of_yesterday_are_not_settled() {
        let settled = |object: &Value| Workload::of(object).unwrap().is_settled();
        assert!(settled(&stateful_set(2, 2, 1, 1)));
        assert!(!settled(&stateful_set(2, 1, 1, 1)), "not yet observed");
        assert!(!settled(&stateful_set(2, 2, 0, 1)), "not ready");
        assert!(!settled(&stateful_set(2, 2, 1, 0)), "not updated");
        assert_eq!(Workload::of(&json!({"kind": "Service"})), None);
    }

    #[test]
    fn a_pod_s_own_words_tell_why_it_is_not_ready() {
        let creating =
            json!({"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}});
        assert_eq!(Trouble::of(std::slice::from_ref(&creating)), None);
        let pulling = json!({
            "metadata": {"name": "demo-local-0"},
            "status": {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]},
        });
        let trouble = Trouble::of(&[creating, pulling]).unwrap();
        assert_eq!(
            (trouble.reason.as_str(), trouble.message.as_str()),
            ("ErrImagePull", "pod demo-local-0: no such image")
        );
        let refused =
            r#"{"ready":false,"topics":{"ready":true},"keyspace":{"ready":false,"reason":"it is of another"}}"#;
        let refused = json!({"status": {"containerStatuses": [{
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"message": refused}},
        }]}});
        let trouble = Trouble::of(&[refused]).unwrap();
        assert_eq!(
            (trouble.reason.as_str(), trouble.message.as_str()),
            ("ProvisioningFailed", "keyspace: it is of another")
        );
        let full = json!({
            "metadata": {"name": "demo-local-0"},
            "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]},
        });
        assert_eq!(Trouble::of(&[full]).unwrap().reason, "Unschedulable");
    }
}
