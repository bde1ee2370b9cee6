//! A manifest that cannot be carried out: people are told why, and what runs goes on.

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use crate::world::{DEMO, World};

#[tokio::test]
async fn a_secret_that_is_missing_is_named_and_its_arrival_is_noticed() {
    let world = World::with_operator("secret").await;
    world.apply(DEMO).await;
    world.wait_ready("demo").await;
    let verifiers = json!([{ "name": "own", "hs256": { "secretRef": { "name": "jwt" } } }]);
    world.change("demo", json!({ "gateways": { "auth": { "verifiers": verifiers } } })).await;
    let cluster = world.wait_for("demo", "Stalled", "True", "SecretNotFound").await;
    let conditions = cluster.status.unwrap().conditions;
    let find = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind).unwrap();
    assert!(find("Stalled").message.contains("spec.gateways.auth.verifiers[0].hs256.secretRef"));
    assert_eq!(find("Ready").status, "False");
    assert_eq!(find("GatewaysReady").status, "True", "what runs goes on");

    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let secret = json!({ "metadata": { "name": "jwt" }, "stringData": { "key": "0123456789abcdef0123456789abcdef" } });
    secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    world.wait_ready("demo").await;
}

#[tokio::test]
async fn a_version_that_this_operator_does_not_run_is_refused() {
    let world = World::with_operator("version").await;
    world.apply(&DEMO.replace("0.1.0", "7.0.0")).await;
    world.wait_for("demo", "Stalled", "True", "UnsupportedVersion").await;
    assert!(world.children().await.is_empty());
    world.change("demo", json!({ "version": "0.1.0" })).await;
    world.wait_ready("demo").await;
}

#[tokio::test]
async fn an_object_of_somebody_else_is_not_taken_over() {
    let world = World::with_operator("taken").await;
    let services: Api<Service> = Api::namespaced(world.client.clone(), &world.namespace);
    let theirs = json!({ "metadata": { "name": "demo" }, "spec": { "ports": [{ "port": 5432 }] } });
    services.create(&PostParams::default(), &serde_json::from_value(theirs).unwrap()).await.unwrap();
    world.apply(DEMO).await;
    world.wait_for("demo", "Stalled", "True", "NameTaken").await;
    assert_eq!(services.get("demo").await.unwrap().spec.unwrap().ports.unwrap()[0].port, 5432);
    services.delete("demo", &DeleteParams::default()).await.unwrap();
    world.change("demo", json!({ "gateways": { "maxConnections": 20000 } })).await;
    world.wait_ready("demo").await;
}

#[tokio::test]
async fn a_missing_right_is_told_with_the_command_that_grants_it() {
    let world = World::with_operator("rights").await;
    world.apply(DEMO).await;
    world.wait_ready("demo").await;
    let roles: Api<k8s_openapi::api::rbac::v1::Role> = Api::namespaced(world.client.clone(), &world.namespace);
    let mut role = roles.get("chat-operator-tenant").await.unwrap();
    role.rules.as_mut().unwrap().retain(|rule| !rule.resources.iter().flatten().any(|it| it == "services"));
    let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), &world.namespace);
    assert!(bindings.get_opt("chat-operator-tenant").await.unwrap().is_some());
    roles.replace("chat-operator-tenant", &PostParams::default(), &role).await.unwrap();
    world.change("demo", json!({ "gateways": { "service": { "port": 8443 } } })).await;
    let cluster = world.wait_for("demo", "Stalled", "True", "MissingRBAC").await;
    let conditions = cluster.status.unwrap().conditions;
    let message = &conditions.iter().find(|condition| condition.type_ == "Stalled").unwrap().message;
    assert!(message.contains("chat-operator rbac --namespace"), "{message}");
}
