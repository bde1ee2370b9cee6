//! Watches of the objects that clusters are made of: metadata only, one watch a kind, only the operator's own.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt as _;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::build::{INSTANCE, MANAGED_BY, OPERATOR};
use crate::children::Kind;

/// Metadata of an object of any kind.
pub(super) type Metadata = PartialObjectMeta<DynamicObject>;

/// A cluster that something happened to: namespace and name.
pub(super) type Named = (String, String);

/// The watches, with what they saw.
#[derive(Debug)]
pub(super) struct Watches {
    stores: Mutex<BTreeMap<&'static str, Store<Metadata>>>,
    touched: mpsc::Sender<Named>,
}

impl Watches {
    /// Begins without any. What happens to an object is told to the receiver, by the cluster it belongs to.
    pub(super) fn new() -> (Self, mpsc::Receiver<Named>) {
        // A full queue holds up the watches, not the memory.
        let (touched, receiver) = mpsc::channel(1024);
        (Self { stores: Mutex::default(), touched }, receiver)
    }

    /// Begins to watch a kind. `namespace`: `None` watches all.
    pub(super) fn start(&self, client: &Client, namespace: Option<&str>, kind: &Kind, tasks: &mut JoinSet<()>) {
        let resource = kind.resource();
        let objects: Api<Metadata> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let writer = reflector::store::Writer::<Metadata>::new(resource);
        let store = writer.as_reader();
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).insert(kind.kind, store);
        let config = watcher::Config::default().labels(&format!("{MANAGED_BY}={OPERATOR}"));
        let touched = self.touched.clone();
        let name = kind.kind;
        tasks.spawn(async move {
            let mut events = std::pin::pin!(
                watcher::watcher(objects, config).default_backoff().modify(forget).reflect(writer).touched_objects()
            );
            while let Some(event) = events.next().await {
                match event {
                    Ok(object) => {
                        let Some(named) = cluster(&object) else { continue };
                        if touched.send(named).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => tracing::warn!(%error, kind = name, "a watch was interrupted; it is begun again"),
                }
            }
        });
    }

    /// Waits until every watch has listed what there is.
    pub(super) async fn ready(&self) {
        let stores: Vec<_> = self.stores.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for store in stores {
            // A writer lives as long as its watch, which ends with the operator only.
            store.wait_until_ready().await.unwrap_or_default();
        }
    }

    /// Tells whether a kind is watched.
    pub(super) fn has(&self, kind: &Kind) -> bool {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).contains_key(kind.kind)
    }

    /// Returns the version of an object, as far as the watch has seen it.
    pub(super) fn version(&self, kind: &Kind, namespace: &str, name: &str) -> Option<String> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let key = ObjectRef::new_with(name, kind.resource()).within(namespace);
        stores.get(kind.kind)?.get(&key)?.resource_version()
    }

    /// Returns the objects of a kind that a cluster owns.
    pub(super) fn owned(&self, kind: &Kind, namespace: &str, uid: &str) -> Vec<std::sync::Arc<Metadata>> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(store) = stores.get(kind.kind) else { return Vec::new() };
        let owned = |object: &Metadata| {
            object.namespace().as_deref() == Some(namespace)
                && object.owner_references().iter().any(|owner| owner.uid == uid)
        };
        store.state_filter(owned)
    }
}

/// Drops what nobody here reads.
fn forget(object: &mut Metadata) {
    object.managed_fields_mut().clear();
    object.annotations_mut().clear();
}

/// Returns the cluster that an object says it belongs to.
fn cluster(object: &Metadata) -> Option<Named> {
    Some((object.namespace()?, object.labels().get(INSTANCE)?.clone()))
}
