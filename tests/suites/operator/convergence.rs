//! From nothing to what is asked for, and no further.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::world::{DEMO, World};

#[tokio::test]
async fn six_lines_become_a_cluster_that_serves() {
    let world = World::with_operator("empty").await;
    world.apply(DEMO).await;
    let cluster = world.wait_ready("demo").await;
    let status = cluster.status.unwrap();
    assert_eq!(status.observed_generation, cluster.metadata.generation);
    assert_eq!(status.gateways.unwrap().ready, 1);
    assert_eq!(status.url.unwrap(), format!("http://demo.{}.svc", world.namespace));
    assert_eq!(status.resolved["engines"], "embedded");
    let kinds: Vec<_> = world.children().await.into_keys().map(|(kind, name)| format!("{kind} {name}")).collect();
    assert_eq!(
        kinds,
        [
            "ConfigMap demo-local",
            "NetworkPolicy demo-local",
            "Service demo",
            "Service demo-local-pods",
            "ServiceAccount demo-local",
            "StatefulSet demo-local",
        ]
    );
    assert!(world.events("demo").await.contains(&"Serving".to_owned()));
}

#[tokio::test]
async fn what_is_as_wanted_is_not_written_again() {
    let mut world = World::new("noop").await;
    let first = world.start_operator(&[]);
    world.apply(DEMO).await;
    world.wait_ready("demo").await;
    settle(&world).await;
    let before = world.writes();
    // Something that asks for a pass and changes nothing.
    for pass in 0..5 {
        let touched = json!({ "metadata": { "annotations": { "example.com/pass": pass.to_string() } } });
        let patch = kube::api::Patch::Merge(&touched);
        world.clusters().patch("demo", &kube::api::PatchParams::default(), &patch).await.unwrap();
        settle(&world).await;
    }
    assert_eq!(world.writes()[before.len()..], Vec::<String>::new());

    // An operator that starts anew remembers nothing, looks at everything, and has nothing to write either.
    world.end_operator(first, rustix::process::Signal::TERM).await;
    world.start_operator(&[]);
    world.until("the second operator works", || async { world.logged(1).contains("works") }).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.writes()[before.len()..], Vec::<String>::new());
}

/// Waits until nothing has been written for a second.
async fn settle(world: &World) {
    let mut written = world.writes().len();
    loop {
        sleep(Duration::from_secs(1)).await;
        let now = world.writes().len();
        if now == written {
            return;
        }
        written = now;
    }
}

#[tokio::test]
async fn a_changed_field_reaches_what_it_is_about_and_nothing_else() {
    let world = World::with_operator("change").await;
    world.apply(DEMO).await;
    world.wait_ready("demo").await;
    settle(&world).await;
    let before = world.writes().len();
    world.change("demo", json!({ "gateways": { "service": { "port": 8443 } } })).await;
    world
        .until("the port is changed", || async {
            let service = &world.children().await[&("Service".to_owned(), "demo".to_owned())];
            service.data["spec"]["ports"][0]["port"] == 8443
        })
        .await;
    settle(&world).await;
    let writes = &world.writes()[before..];
    assert_eq!(
        writes.iter().filter(|write| !write.contains("chatclusters")).collect::<Vec<_>>(),
        ["patch services demo"]
    );
}

#[tokio::test]
async fn an_object_that_is_wanted_no_more_goes() {
    let world = World::with_operator("orphan").await;
    world.apply(DEMO).await;
    world.wait_ready("demo").await;
    world.change("demo", json!({ "networkPolicy": { "mode": "None" } })).await;
    let policy = ("NetworkPolicy".to_owned(), "demo-local".to_owned());
    world.until("the policy is gone", || async { !world.children().await.contains_key(&policy) }).await;
    world.change("demo", json!({ "networkPolicy": { "mode": "Ingress" } })).await;
    world.until("the policy is back", || async { world.children().await.contains_key(&policy) }).await;
}
