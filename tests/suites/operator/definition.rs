//! The definition in the API server: what it takes, what it refuses, and which field it blames.

use kube::api::PostParams;
use kube::{Api, Error};
use serde_json::Value;

use crate::table::{COMPLETE, Mutation, break_at, mutations};
use crate::world::{DEMO, World};

/// Asks for a creation that makes nothing, with every field checked, as `kubectl` asks.
async fn create(world: &World, manifest: &Value) -> Result<(), Error> {
    let resource = kube::discovery::ApiResource::erase::<operator::crd::ChatCluster>(&());
    let api: Api<kube::api::DynamicObject> = Api::namespaced_with(world.client.clone(), &world.namespace, &resource);
    let mut manifest = manifest.clone();
    manifest["metadata"]["namespace"] = world.namespace.clone().into();
    let body = serde_json::to_vec(&manifest).unwrap();
    let mut request = kube::core::Request::new(api.resource_url()).create(&PostParams::default(), body).unwrap();
    let path = format!("{}?dryRun=All&fieldValidation=Strict", api.resource_url());
    *request.uri_mut() = path.parse().unwrap();
    world.client.request::<Value>(request).await.map(|_| ())
}

/// Writes a key of a map as the API server does: `labels.team` where people are told `labels[team]`.
fn dotted(path: &str) -> String {
    path.replace('[', ".").replace(']', "")
}

#[tokio::test]
async fn a_complete_manifest_is_taken_and_each_wrong_one_is_refused_at_its_field() {
    let world = World::new("wrong").await;
    let complete: Value = serde_yaml::from_str(COMPLETE).unwrap();
    create(&world, &complete).await.unwrap();
    let mut surprises = Vec::new();
    // What every kind has is checked by the API server in its own words.
    for Mutation { field, value, blamed } in mutations().into_iter().filter(|it| it.blamed.starts_with("spec")) {
        let mut wrong = complete.clone();
        let new = (value != "absent").then(|| serde_yaml::from_str(value).unwrap());
        break_at(&mut wrong, field, new);
        match create(&world, &wrong).await {
            Err(Error::Api(status)) if status.code < 500 => {
                let causes = status.details.iter().flat_map(|details| &details.causes).map(|cause| cause.field.clone());
                let said = format!("{} {}", status.message, causes.collect::<Vec<_>>().join(" "));
                if !dotted(&said).contains(&dotted(blamed)) {
                    surprises.push(format!("{field} = {value}: {said}"));
                }
            }
            other => surprises.push(format!("{field} = {value}: {other:?}")),
        }
    }
    assert!(surprises.is_empty(), "{} surprises:\n{}", surprises.len(), surprises.join("\n"));
}

#[tokio::test]
async fn what_may_not_change_is_refused_and_the_rest_is_taken() {
    let world = World::new("fixed").await;
    world.apply(DEMO).await;
    for (wrong, field) in [("prefix: a", "prefix"), ("redis: {managed: {}}", "engines")] {
        let changed = DEMO.replace("engines: {embedded: {}}", &format!("engines: {{embedded: {{}}}}, {wrong}"));
        let refused = world.try_apply(&changed).await.unwrap_err().to_string();
        assert!(refused.contains(field), "{wrong}: {refused}");
    }
    world.apply(&DEMO.replace("{embedded: {}}", "{embedded: {}}, gateways: {maxConnections: 20000}")).await;
}
