//! Gateways and workers beside engines that somebody else runs.

use chat_core::config::ProcessConfig;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use crate::drift::delete_each;
use crate::world::{EXTERNAL, World};

/// Returns kinds and names; the last part of the Job's name is left out, which is a hash.
async fn names(world: &World) -> Vec<String> {
    let all = world.children().await.into_keys();
    let short = |kind: &str, name: String| match name.rsplit_once('-') {
        Some((short, _)) if kind == "Job" => short.to_owned(),
        _ => name,
    };
    all.map(|(kind, name)| format!("{kind} {}", short(&kind, name))).collect()
}

fn secrets(world: &World) -> Api<Secret> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

#[tokio::test]
async fn gateways_and_workers_run_once_the_engines_are_prepared() {
    let world = World::with_operator("external").await;
    world.apply(EXTERNAL).await;
    let cluster = world.wait_ready("demo").await;
    let status = cluster.status.unwrap();
    let gateways = status.gateways.unwrap();
    assert_eq!((gateways.desired, gateways.ready), (2, 2));
    assert!(status.conditions.iter().any(|it| it.type_ == "WorkersReady" && it.status == "True"));
    assert_eq!(
        names(&world).await,
        [
            "ConfigMap demo-gateway",
            "ConfigMap demo-provision",
            "ConfigMap demo-workers",
            "Deployment demo-analytics",
            "Deployment demo-receipts",
            "Deployment demo-sequencer",
            "Job demo-provision",
            "NetworkPolicy demo-analytics",
            "NetworkPolicy demo-gateway",
            "NetworkPolicy demo-provision",
            "NetworkPolicy demo-receipts",
            "NetworkPolicy demo-sequencer",
            "PodDisruptionBudget demo-analytics",
            "PodDisruptionBudget demo-gateway",
            "PodDisruptionBudget demo-receipts",
            "PodDisruptionBudget demo-sequencer",
            "Service demo",
            "Service demo-gateway-pods",
            "ServiceAccount demo-gateway",
            "ServiceAccount demo-provision",
            "ServiceAccount demo-workers",
            "StatefulSet demo-gateway",
        ]
    );
    let map = &world.children().await[&("ConfigMap".to_owned(), "demo-gateway".to_owned())];
    let settings: ProcessConfig = serde_yaml::from_str(map.data["data"]["chat.yaml"].as_str().unwrap()).unwrap();
    assert_eq!(settings.engines.kafka.bootstrap_servers, ["kafka:9092"]);
    assert_eq!(settings.engines.cassandra.contact_points, ["cassandra:9042"]);
}

#[tokio::test]
async fn each_of_their_objects_that_is_deleted_comes_back() {
    let world = World::with_operator("repaired").await;
    world.apply(EXTERNAL).await;
    world.wait_ready("demo").await;
    delete_each(&world).await;
    world.wait_ready("demo").await;
}

#[tokio::test]
async fn a_role_goes_with_what_it_was_for() {
    let world = World::with_operator("role").await;
    let account = json!({ "metadata": { "name": "fcm" }, "stringData": { "service-account.json": "{}" } });
    secrets(&world).create(&PostParams::default(), &serde_json::from_value(account).unwrap()).await.unwrap();
    world.apply(&format!("{EXTERNAL}  push: {{fcm: {{serviceAccountSecretRef: {{name: fcm}}}}}}\n")).await;
    world.wait_ready("demo").await;
    let with: Vec<_> = names(&world).await.into_iter().filter(|it| it.ends_with("demo-push")).collect();
    assert_eq!(with, ["Deployment demo-push", "NetworkPolicy demo-push", "PodDisruptionBudget demo-push"]);
    world.change("demo", json!({ "push": { "fcm": null } })).await;
    world.until("the role is gone", || async { names(&world).await.iter().all(|it| !it.ends_with("demo-push")) }).await;
    world.wait_ready("demo").await;
}

#[tokio::test]
async fn engines_are_prepared_again_when_what_they_should_be_changes() {
    let world = World::with_operator("again").await;
    world.apply(EXTERNAL).await;
    world.wait_ready("demo").await;
    let jobs = || async {
        let all = world.children().await.into_keys();
        all.filter(|(kind, _)| kind == "Job").map(|(_, name)| name).collect::<Vec<_>>()
    };
    let first = jobs().await;
    world.change("demo", json!({ "kafka": { "topics": { "retention": "30d" } } })).await;
    world
        .until("another Job stands in its place", || async {
            let now = jobs().await;
            now.len() == 1 && now != first
        })
        .await;
    world.wait_ready("demo").await;
}

#[tokio::test]
async fn keys_that_no_manifest_names_are_made_once_and_outlive_the_cluster() {
    let world = World::with_operator("keys").await;
    world.apply(EXTERNAL).await;
    world.wait_ready("demo").await;
    let read = || async {
        let mut keys = Vec::new();
        for (name, key) in [("demo-admin", "token"), ("demo-jwt", "key")] {
            keys.push(secrets(&world).get(name).await.unwrap().data.unwrap()[key].0.clone());
        }
        keys
    };
    let keys = read().await;
    assert!(keys.iter().all(|key| key.len() == 64) && keys[0] != keys[1]);
    world.clusters().delete("demo", &DeleteParams::background()).await.unwrap();
    world.until("nothing else is left", || async { world.children().await.is_empty() }).await;
    world.apply(EXTERNAL).await;
    world.wait_ready("demo").await;
    assert_eq!(read().await, keys);
}

#[tokio::test]
async fn what_this_release_does_not_run_is_refused_by_field() {
    let world = World::with_operator("refused").await;
    world.apply(&EXTERNAL.replace("{external: {urls: ['redis://redis:6379']}}", "{managed: {}}")).await;
    let cluster = world.wait_for("demo", "Stalled", "True", "NotSupported").await;
    let conditions = cluster.status.unwrap().conditions;
    let stalled = conditions.iter().find(|condition| condition.type_ == "Stalled").unwrap();
    assert!(stalled.message.contains("spec.redis.managed"), "{}", stalled.message);
    assert!(world.children().await.is_empty());
}
