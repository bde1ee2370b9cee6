//! What people change or delete by hand is put right.

use kube::api::{DeleteParams, Patch, PatchParams};
use operator::children::KINDS;
use serde_json::{Value, json};

use crate::world::{DEMO, World};

#[tokio::test]
async fn every_object_that_is_deleted_comes_back() {
    let world = World::with_operator("deleted").await;
    world.apply(DEMO).await;
    world.wait_ready("demo").await;
    delete_each(&world).await;
    world.wait_ready("demo").await;
}

/// Deletes every object of the operator's, one after another, and waits for another in its place.
pub(crate) async fn delete_each(world: &World) {
    for ((kind, name), object) in world.children().await {
        let api = world.objects(KINDS.iter().find(|it| it.kind == kind).unwrap());
        let uid = object.metadata.uid;
        api.delete(&name, &DeleteParams::background()).await.unwrap();
        world
            .until(&format!("{kind} {name} is back"), || async {
                api.get_opt(&name).await.unwrap().is_some_and(|object| object.metadata.uid != uid)
            })
            .await;
    }
}

#[tokio::test]
async fn every_object_that_is_edited_is_put_right() {
    let world = World::with_operator("edited").await;
    world.apply(DEMO).await;
    world.wait_ready("demo").await;
    let edits: [(&str, &str, &str, Value); 6] = [
        ("ConfigMap", "demo-local", "/data/chatcluster.yaml", json!("nonsense")),
        ("NetworkPolicy", "demo-local", "/spec/ingress/0/ports/0/port", json!(1)),
        ("Service", "demo", "/spec/ports/0/port", json!(81)),
        ("Service", "demo-local-pods", "/spec/selector", json!({ "nobody": "here" })),
        ("ServiceAccount", "demo-local", "/automountServiceAccountToken", json!(true)),
        ("StatefulSet", "demo-local", "/spec/template/spec/containers/0/image", json!("other:1")),
    ];
    for (kind, name, pointer, value) in edits {
        let api = world.objects(KINDS.iter().find(|it| it.kind == kind).unwrap());
        let read = |object: kube::api::DynamicObject| serde_json::to_value(object).unwrap().pointer(pointer).cloned();
        let before = read(api.get(name).await.unwrap());
        let patch = json!([{ "op": "replace", "path": pointer, "value": value }]);
        let patch: Patch<Value> = Patch::Json(serde_json::from_value(patch).unwrap());
        api.patch(name, &PatchParams::default(), &patch).await.unwrap();
        world
            .until(&format!("{kind} {name} is put right"), || async { read(api.get(name).await.unwrap()) == before })
            .await;
    }
    world.until("people are told", || async { world.events("demo").await.contains(&"Repaired".to_owned()) }).await;
    world.wait_ready("demo").await;
}

#[tokio::test]
async fn one_who_sets_a_field_again_and_again_is_named_and_not_fought_for_ever() {
    let world = World::with_operator("fight").await;
    world.apply(DEMO).await;
    world.wait_ready("demo").await;
    let services = world.objects(KINDS.iter().find(|it| it.kind == "Service").unwrap());
    let stubborn = async {
        loop {
            let patch = json!({ "apiVersion": "v1", "kind": "Service", "spec": { "type": "NodePort" } });
            let params = PatchParams::apply("stubborn").force();
            drop(services.patch("demo", &params, &Patch::Apply(&patch)).await);
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    let told = world.wait_for("demo", "Stalled", "True", "FieldConflict");
    let cluster = tokio::select! { cluster = told => cluster, () = stubborn => unreachable!() };
    let conditions = cluster.status.unwrap().conditions;
    let message = &conditions.iter().find(|condition| condition.type_ == "Stalled").unwrap().message;
    assert!(message.contains("spec.type") && message.contains("stubborn"), "{message}");
}

#[tokio::test]
async fn what_others_add_stays() {
    let world = World::with_operator("added").await;
    world.apply(DEMO).await;
    world.wait_ready("demo").await;
    let services = world.objects(KINDS.iter().find(|it| it.kind == "Service").unwrap());
    let patch = json!({ "metadata": { "annotations": { "example.com/cost-centre": "7" } } });
    services.patch("demo", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    world.change("demo", json!({ "gateways": { "service": { "port": 8080 } } })).await;
    world
        .until("the port is changed", || async {
            services.get("demo").await.unwrap().data["spec"]["ports"][0]["port"] == 8080
        })
        .await;
    let service = services.get("demo").await.unwrap();
    assert_eq!(service.metadata.annotations.unwrap()["example.com/cost-centre"], "7");
}
