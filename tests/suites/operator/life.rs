//! Pausing, deleting, pods that do not start, and an API server that goes away.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::DeleteParams;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::world::{DEMO, World};

#[tokio::test]
async fn a_paused_cluster_is_not_changed_and_says_what_waits() {
    let world = World::with_operator("paused").await;
    world.apply(DEMO).await;
    world.wait_ready("demo").await;
    world.change("demo", json!({ "paused": true, "gateways": { "service": { "port": 8443 } } })).await;
    let cluster = world.wait_for("demo", "Paused", "True", "Frozen").await;
    assert_eq!(cluster.status.unwrap().pending, ["Service demo will be changed: spec.ports[client].port"]);
    let port = || async {
        let service = &world.children().await[&("Service".to_owned(), "demo".to_owned())];
        service.data["spec"]["ports"][0]["port"].clone()
    };
    assert_eq!(port().await, 80);
    world.change("demo", json!({ "paused": false })).await;
    world.until("the change is made", || async { port().await == 8443 }).await;
    let cluster = world.wait_for("demo", "Paused", "False", "NotFrozen").await;
    assert!(cluster.status.unwrap().pending.is_empty());
}

#[tokio::test]
async fn a_deleted_cluster_goes_with_all_it_owns_but_its_data() {
    let world = World::with_operator("retain").await;
    world.apply(DEMO).await;
    world.wait_ready("demo").await;
    world.clusters().delete("demo", &DeleteParams::background()).await.unwrap();
    world.until("nothing is left", || async { world.children().await.is_empty() }).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.client.clone(), &world.namespace);
    let left = claims.list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.len(), 1, "the data is kept");
}

#[tokio::test]
async fn data_goes_with_its_cluster_where_policy_and_annotation_say_so() {
    let world = World::with_operator("delete").await;
    let confirmed = DEMO
        .replace("{name: demo}", "{name: demo, annotations: {chatcluster.dev/confirm-delete: demo}}")
        .replace("version: 0.1.0", "version: 0.1.0, deletionPolicy: Delete");
    world.apply(&confirmed).await;
    world.wait_ready("demo").await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.client.clone(), &world.namespace);
    world
        .until("the claim follows its StatefulSet", || async {
            let claims = claims.list(&ListParams::default()).await.unwrap();
            claims.items.first().is_some_and(|claim| claim.metadata.owner_references.is_some())
        })
        .await;
    world.clusters().delete("demo", &DeleteParams::background()).await.unwrap();
    // No controller of this API server's takes the protection off; that the claim is to go is seen by its mark.
    world
        .until("the claim goes", || async {
            let claims = claims.list(&ListParams::default()).await.unwrap();
            claims.items.iter().all(|claim| claim.metadata.deletion_timestamp.is_some())
        })
        .await;
}

#[tokio::test]
async fn a_cluster_without_an_operator_can_be_deleted() {
    let mut world = World::new("orphaned").await;
    let operator = world.start_operator(&[]);
    world.apply(DEMO).await;
    world.wait_ready("demo").await;
    world.end_operator(operator, rustix::process::Signal::KILL).await;
    world.clusters().delete("demo", &DeleteParams::background()).await.unwrap();
    world.until("it is gone", || async { world.clusters().get_opt("demo").await.unwrap().is_none() }).await;
    world.until("nothing is left", || async { world.children().await.is_empty() }).await;
}

#[tokio::test]
async fn a_pod_that_does_not_start_says_why_in_the_status() {
    let mut world = World::new("pods").await;
    world.stop_kubelet();
    world.start_operator(&[]);
    world.apply(DEMO).await;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    world.until("there is a pod", || async { pods.get_opt("demo-local-0").await.unwrap().is_some() }).await;
    let status = json!({ "status": { "phase": "Pending", "containerStatuses": [{
        "name": "local", "image": "chatctl:0.1.0", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } },
    }] } });
    pods.patch_status("demo-local-0", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    world.wait_for("demo", "Ready", "False", "ImagePullBackOff").await;
}

#[tokio::test]
async fn an_api_server_that_restarts_is_waited_for() {
    let mut world = World::alone("restart").await;
    world.start_operator(&[]);
    world.apply(DEMO).await;
    world.wait_ready("demo").await;
    world.restart_api_server().await;
    world.change("demo", json!({ "gateways": { "service": { "port": 8443 } } })).await;
    world
        .until("the change is made", || async {
            let service = &world.children().await[&("Service".to_owned(), "demo".to_owned())];
            service.data["spec"]["ports"][0]["port"] == 8443
        })
        .await;
}
