//! How many gateways there are, and how they go.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use rustix::process::Signal;
use serde_json::json;

use crate::gateways::Gateways;
use crate::world::{EXTERNAL, World};

/// One to three gateways of a hundred connections each, and no patience.
fn manifest() -> String {
    format!(
        "{EXTERNAL}  gateways:\n    autoscaling: {{min: 1, max: 3, targetConnections: 100, \
         scaleDown: {{stabilizationSeconds: 0}}}}\n"
    )
}

/// Begins with a gateway that holds so many connections, and waits until there are `gateways` for them.
async fn begin(name: &str, connections: u64, gateways: i32) -> (World, Gateways, usize) {
    let mut world = World::new(name).await;
    let played = Gateways::play(&mut world);
    let operator = world.start_operator(&[]);
    world.apply(&manifest()).await;
    world.wait_ready("demo").await;
    assert_eq!(replicas(&world).await, 1);
    played.with(0, |gateway| gateway.connections = connections).unwrap();
    world.until("there are more", || async { replicas(&world).await == gateways }).await;
    world.wait_ready("demo").await;
    world
        .until("the last one answers", || async { played.with(u32::try_from(gateways).unwrap() - 1, |_| ()).is_some() })
        .await;
    (world, played, operator)
}

async fn replicas(world: &World) -> i32 {
    let sets: Api<StatefulSet> = Api::namespaced(world.client.clone(), &world.namespace);
    sets.get("demo-gateway").await.unwrap().spec.unwrap().replicas.unwrap()
}

async fn mark(world: &World, ordinal: u32) -> Option<String> {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let pod = pods.get_opt(&format!("demo-gateway-{ordinal}")).await.unwrap()?;
    pod.annotations().get("chatcluster.dev/drain").cloned()
}

/// Makes one hold its connections, and waits until it is told often that it is to go.
async fn told(world: &World, played: &Gateways, ordinal: u32) {
    world
        .until("it is told again and again", || async {
            played.with(ordinal, |gateway| gateway.orders.len() >= 3).unwrap_or(false)
        })
        .await;
}

#[tokio::test]
async fn gateways_follow_the_connections_and_go_only_when_they_are_empty() {
    let (world, played, _) = begin("follow", 250, 3).await;
    for ordinal in [1, 2] {
        played.with(ordinal, |gateway| (gateway.connections, gateway.held) = (5, true)).unwrap();
    }
    played.with(0, |gateway| gateway.connections = 60).unwrap();
    told(&world, &played, 2).await;
    assert!(mark(&world, 2).await.unwrap().contains("ScaleIn"));
    assert_eq!(mark(&world, 1).await, None, "one at a time");
    let order = played.with(2, |gateway| gateway.orders[0].clone()).unwrap();
    assert_eq!(order["lease_s"], 60);
    assert!((1..=200).contains(&order["rate"].as_u64().unwrap()), "{order}");
    assert_eq!(replicas(&world).await, 3, "it holds connections still");
    world
        .until("people are told", || async {
            let status = world.clusters().get("demo").await.unwrap().status.unwrap();
            let drains: Vec<_> = status.drains.iter().map(|drain| (drain.pod.as_str(), drain.remaining)).collect();
            drains == [("demo-gateway-2", 5)] && status.gateways.unwrap().draining == 1
        })
        .await;

    played.with(2, |gateway| gateway.held = false).unwrap();
    world.until("it is gone", || async { replicas(&world).await == 2 }).await;
    told(&world, &played, 1).await;
    played.with(1, |gateway| gateway.held = false).unwrap();
    world.until("the next one is gone too", || async { replicas(&world).await == 1 }).await;
    world.wait_ready("demo").await;
    let scale = world.clusters().get("demo").await.unwrap().status.unwrap().scale.unwrap();
    assert!(scale.reason.is_some());
}

#[tokio::test]
async fn more_connections_call_a_draining_gateway_back() {
    let (world, played, _) = begin("back", 150, 2).await;
    played.with(1, |gateway| (gateway.connections, gateway.held) = (5, true)).unwrap();
    played.with(0, |gateway| gateway.connections = 10).unwrap();
    told(&world, &played, 1).await;
    played.with(0, |gateway| gateway.connections = 145).unwrap();
    world
        .until("it takes clients again", || async {
            mark(&world, 1).await.is_none() && !played.with(1, |gateway| gateway.draining).unwrap()
        })
        .await;
    assert_eq!(replicas(&world).await, 2);
}

#[tokio::test]
async fn an_operator_that_dies_in_a_drain_is_followed_by_one_that_goes_on() {
    let (mut world, played, operator) = begin("goes-on", 150, 2).await;
    played.with(1, |gateway| (gateway.connections, gateway.held) = (5, true)).unwrap();
    played.with(0, |gateway| gateway.connections = 10).unwrap();
    told(&world, &played, 1).await;
    let deadline = played.with(1, |gateway| gateway.orders[0]["deadline_at"].clone()).unwrap();
    world.end_operator(operator, Signal::KILL).await;
    played.with(1, |gateway| gateway.orders.clear()).unwrap();
    world.forget_lease().await;
    world.start_operator(&[]);
    told(&world, &played, 1).await;
    assert_eq!(played.with(1, |gateway| gateway.orders[0]["deadline_at"].clone()).unwrap(), deadline);
    assert_eq!(replicas(&world).await, 2);
    played.with(1, |gateway| gateway.held = false).unwrap();
    world.until("it is gone", || async { replicas(&world).await == 1 }).await;
}

#[tokio::test]
async fn a_number_that_was_written_by_hand_is_led_back_by_draining() {
    let (world, played, _) = begin("hand", 150, 2).await;
    let sets: Api<StatefulSet> = Api::namespaced(world.client.clone(), &world.namespace);
    let three = Patch::Merge(json!({ "spec": { "replicas": 3 } }));
    sets.patch("demo-gateway", &PatchParams::default(), &three).await.unwrap();
    world
        .until("it is drained", || async { played.with(2, |gateway| !gateway.orders.is_empty()).unwrap_or(false) })
        .await;
    world.until("it is gone", || async { replicas(&world).await == 2 }).await;
}
