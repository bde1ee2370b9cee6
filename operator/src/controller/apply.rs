//! Writing what differs, by server-side apply, and only that.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Error, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::memory::{ClusterMemory, Seen, is_older};
use super::metrics::Metrics;
use super::watches::Watches;
use crate::build::{INSTANCE, MANAGED_BY, OPERATOR, Object, fingerprint};
use crate::children::{KINDS, Kind};
use crate::plan::{Change, changes};
use crate::status::{ConditionReason, Obstacle};
use crate::workload::Workload;

/// Who writes the objects of a cluster, in their managed fields.
pub(super) const FIELD_MANAGER: &str = OPERATOR;

/// What a pass works with.
pub(super) struct Applier<'a> {
    pub(super) client: &'a Client,
    pub(super) watches: &'a Watches,
    pub(super) metrics: &'a Metrics,
    pub(super) namespace: &'a str,
    /// Name of the cluster.
    pub(super) cluster: &'a str,
    /// Whether changes are only told of.
    pub(super) frozen: bool,
}

/// What a pass found out about the objects.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// The workloads that are there.
    pub(super) workloads: Vec<Workload>,
    /// Changes that wait, in plain words.
    pub(super) pending: Vec<String>,
    /// Objects that were there and not as they were left.
    pub(super) repaired: Vec<String>,
    /// Address of a load balancer in front.
    pub(super) address: Option<String>,
}

/// What became of one object.
enum Written {
    Kept,
    Made,
    Changed { was_left_alone: bool },
    Waits(String),
}

impl Applier<'_> {
    /// Makes every object as wanted, in order, then removes those that are wanted no more.
    pub(super) async fn apply(
        &self,
        objects: &[Object],
        uid: &str,
        memory: &mut ClusterMemory,
    ) -> Result<Applied, (Applied, Obstacle)> {
        let mut applied = Applied::default();
        for object in objects {
            // Every kind that is built is one of those.
            let Some(kind) = Kind::of(object) else { continue };
            let seen = memory.objects.entry((kind.kind, object.name().to_owned())).or_default();
            let named = format!("{} {}", object.kind(), object.name());
            match self.one(&kind, object, seen).await {
                Ok(Written::Kept | Written::Made) => {}
                Ok(Written::Changed { was_left_alone }) => {
                    if was_left_alone {
                        applied.repaired.push(named);
                    }
                }
                Ok(Written::Waits(change)) => applied.pending.push(change),
                Err(obstacle) => return Err((applied, obstacle)),
            }
            applied.workloads.extend(seen.workload.clone());
            applied.address = applied.address.or_else(|| seen.address.clone());
        }
        match self.prune(objects, uid, memory, &mut applied).await {
            Ok(()) => Ok(applied),
            Err(obstacle) => Err((applied, obstacle)),
        }
    }

    async fn one(&self, kind: &Kind, object: &Object, seen: &mut Seen) -> Result<Written, Obstacle> {
        let wanted = fingerprint(&object.manifest().to_string());
        let asked_before = seen.wanted == wanted;
        let watched = self.watches.version(kind, self.namespace, object.name());
        if asked_before && is_as_left(seen.version.as_deref(), watched.as_deref()) {
            return Ok(Written::Kept);
        }
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), self.namespace, &kind.resource());
        let failed = |error: Error| obstacle(object, self.namespace, &error);
        let live = api.get_opt(object.name()).await.map_err(failed)?;
        let Some(live) = live else {
            if self.frozen {
                *seen = Seen::default();
                return Ok(Written::Waits(format!("{} {} will be made", object.kind(), object.name())));
            }
            self.write(&api, kind, object, &wanted, seen, &[]).await?;
            return Ok(if asked_before { Written::Changed { was_left_alone: true } } else { Written::Made });
        };
        self.check_owner(object, &live)?;
        let current = serde_json::to_value(&live).unwrap_or_default();
        let mut differing = changes(object.manifest(), &current);
        if asked_before {
            differing.retain(|change| !seen.residue.contains(change));
        }
        if differing.is_empty() && !has_dropped(object, &live) {
            look(seen, &wanted, &live, &current);
            return Ok(Written::Kept);
        }
        if self.frozen {
            look(seen, "", &live, &current);
            return Ok(Written::Waits(waits(object, &differing)));
        }
        self.write(&api, kind, object, &wanted, seen, &differing).await.map_err(|obstacle| {
            let conflict = obstacle.reason == ConditionReason::FieldConflict.name();
            if conflict { conflict_with(object, &live, &differing) } else { obstacle }
        })?;
        Ok(Written::Changed { was_left_alone: asked_before && !differing.is_empty() })
    }

    async fn write(
        &self,
        api: &Api<DynamicObject>,
        kind: &Kind,
        object: &Object,
        wanted: &str,
        seen: &mut Seen,
        differing: &[Change],
    ) -> Result<(), Obstacle> {
        if !seen.may_write(Instant::now()) {
            return Err(Obstacle {
                reason: ConditionReason::FieldConflict.name().to_owned(),
                message: String::new(),
                passes: false,
            });
        }
        tracing::info!(
            kind = kind.kind,
            name = object.name(),
            field = differing.first().map(|change| change.path.as_str()),
            "writes an object"
        );
        self.metrics.wrote(kind.kind, "apply");
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patched = match api.patch(object.name(), &params, &Patch::Apply(object.manifest())).await {
            Err(Error::Api(status)) if status.code == 422 && !differing.is_empty() => {
                self.metrics.wrote(kind.kind, "replace");
                overwrite(api, object).await
            }
            patched => patched,
        };
        let live = patched.map_err(|error| obstacle(object, self.namespace, &error))?;
        let current = serde_json::to_value(&live).unwrap_or_default();
        look(seen, wanted, &live, &current);
        seen.residue = changes(object.manifest(), &current);
        Ok(())
    }

    /// Refuses to take over an object of somebody else.
    fn check_owner(&self, object: &Object, live: &DynamicObject) -> Result<(), Obstacle> {
        let labels = live.labels();
        let ours = labels.get(MANAGED_BY).is_some_and(|by| by == OPERATOR)
            && labels.get(INSTANCE).is_some_and(|cluster| cluster == self.cluster);
        let owned = live.managed_fields().iter().any(is_own);
        if ours || owned {
            return Ok(());
        }
        Err(Obstacle {
            reason: ConditionReason::NameTaken.name().to_owned(),
            message: format!(
                "{} {} exists and is not of this ChatCluster: rename or delete it, or give the ChatCluster another name",
                object.kind(),
                object.name()
            ),
            passes: false,
        })
    }

    /// Deletes what the cluster owns and does not want any more.
    async fn prune(
        &self,
        objects: &[Object],
        uid: &str,
        memory: &mut ClusterMemory,
        applied: &mut Applied,
    ) -> Result<(), Obstacle> {
        for kind in &KINDS {
            for orphan in self.watches.owned(kind, self.namespace, uid) {
                let name = orphan.name_any();
                let wanted = objects.iter().any(|object| Kind::of(object) == Some(*kind) && object.name() == name);
                if wanted || orphan.metadata.deletion_timestamp.is_some() {
                    continue;
                }
                if self.frozen {
                    applied.pending.push(format!("{} {name} will be deleted", kind.kind));
                    continue;
                }
                let api: Api<DynamicObject> =
                    Api::namespaced_with(self.client.clone(), self.namespace, &kind.resource());
                // Not the object of the same name that somebody makes meanwhile.
                let preconditions = Preconditions { uid: orphan.uid(), resource_version: orphan.resource_version() };
                let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
                tracing::info!(kind = kind.kind, name, "deletes an object that is wanted no more");
                self.metrics.wrote(kind.kind, "delete");
                match api.delete(&name, &params).await {
                    Ok(_) => {}
                    // Gone, or changed: the watch tells of it.
                    Err(Error::Api(status)) if status.code == 404 || status.code == 409 => {}
                    Err(error) => return Err(failure(&format!("{} {name}", kind.kind), kind, self.namespace, &error)),
                }
                memory.objects.remove(&(kind.kind, name));
            }
        }
        memory.objects.retain(|(kind, name), _| objects.iter().any(|it| it.kind() == *kind && it.name() == name));
        Ok(())
    }
}

/// Replaces the lists of an object. Applying leaves items in them that somebody else made by changing the key of ours, as
/// the number of a port, and two ports of one name are refused; then the lists are replaced whole, and applied again.
async fn overwrite(api: &Api<DynamicObject>, object: &Object) -> Result<DynamicObject, Error> {
    let name = object.name();
    let replace = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(name, &replace, &Patch::Merge(object.manifest())).await?;
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let live = api.patch(name, &params, &Patch::Apply(object.manifest())).await?;
    // What was replaced is owned twice now, and would stay when it is applied no more.
    let by_replacing = |entry: &ManagedFieldsEntry| entry.manager.as_deref() == Some(FIELD_MANAGER) && is_update(entry);
    let left: Vec<_> = live.managed_fields().iter().filter(|entry| !by_replacing(entry)).collect();
    let owners = json!({ "metadata": { "resourceVersion": live.resource_version(), "managedFields": left } });
    api.patch(name, &replace, &Patch::Merge(owners)).await
}

/// Tells whether an object is as it was left: the watch has seen nothing newer than what was looked at. A watch that is
/// behind has seen less.
fn is_as_left(looked_at: Option<&str>, watched: Option<&str>) -> bool {
    match (looked_at, watched) {
        (Some(looked_at), Some(watched)) => looked_at == watched || is_older(watched, looked_at),
        _ => false,
    }
}

/// Takes down what an object is like.
fn look(seen: &mut Seen, wanted: &str, live: &DynamicObject, current: &Value) {
    if seen.wanted != wanted {
        seen.residue.clear();
    }
    wanted.clone_into(&mut seen.wanted);
    seen.version = live.resource_version();
    seen.workload = Workload::of(current);
    let balancer = current.pointer("/status/loadBalancer/ingress/0");
    let address = balancer.and_then(|it| it.get("hostname").or_else(|| it.get("ip"))).and_then(Value::as_str);
    seen.address = address.map(str::to_owned);
}

fn waits(object: &Object, differing: &[Change]) -> String {
    let fields: Vec<_> = differing.iter().take(3).map(|change| change.path.as_str()).collect();
    let more = if differing.len() > 3 { ", …" } else { "" };
    let fields = if fields.is_empty() { "fields go that are wanted no more".to_owned() } else { fields.join(", ") };
    format!("{} {} will be changed: {fields}{more}", object.kind(), object.name())
}

fn is_update(entry: &ManagedFieldsEntry) -> bool {
    entry.operation.as_deref() == Some("Update")
}

fn is_own(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER) && !is_update(entry) && entry.subresource.is_none()
}

/// Tells whether the operator owns a field of a live object that is wanted no more: writing the object lets go of it.
fn has_dropped(object: &Object, live: &DynamicObject) -> bool {
    let own = live.managed_fields().iter().filter(|entry| is_own(entry));
    own.filter_map(|entry| entry.fields_v1.as_ref()).any(|fields| owns_more(&fields.0, object.manifest()))
}

/// Tells whether a set of managed fields has a field that a manifest lacks. Items of lists are looked at where they have
/// a name; other lists are owned whole.
fn owns_more(fields: &Value, manifest: &Value) -> bool {
    fields.as_object().into_iter().flatten().any(|(key, inner)| {
        if let Some(name) = key.strip_prefix("f:") {
            return manifest.get(name).is_none_or(|field| owns_more(inner, field));
        }
        let Some(Ok(Value::Object(keys))) = key.strip_prefix("k:").map(serde_json::from_str) else { return false };
        let item = manifest
            .as_array()
            .into_iter()
            .flatten()
            .find(|item| keys.iter().all(|(key, value)| item.get(key).is_none_or(|own| own == value)));
        item.is_none_or(|item| owns_more(inner, item))
    })
}

/// Says which field is set against the operator, and by whom.
fn conflict_with(object: &Object, live: &DynamicObject, differing: &[Change]) -> Obstacle {
    let field = differing.first().map_or("a field", |change| change.path.as_str());
    let mut others = live.managed_fields().iter().rev().filter(|entry| !is_own(entry));
    let manager = others.find_map(|entry| entry.manager.as_deref()).unwrap_or("another manager");
    Obstacle {
        reason: ConditionReason::FieldConflict.name().to_owned(),
        message: format!(
            "{} {}: `{field}` is set again and again by {manager}; it was put right five times in five minutes, and is \
             now left for a while",
            object.kind(),
            object.name()
        ),
        passes: false,
    }
}

fn obstacle(object: &Object, namespace: &str, error: &Error) -> Obstacle {
    let named = format!("{} {}", object.kind(), object.name());
    match Kind::of(object) {
        Some(kind) => failure(&named, &kind, namespace, error),
        None => super::failure::unreachable(&named, error),
    }
}

fn failure(named: &str, kind: &Kind, namespace: &str, error: &Error) -> Obstacle {
    super::failure::obstacle(named, kind.plural, namespace, error)
}
