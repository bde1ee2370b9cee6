use std::time::Duration;

use chat_core::frame::{ContentType, Push};
use chat_core::id::ChatId;
use chat_core::message_log::{Append, partition_of};
use chat_core::push::Platform;
use chat_core::push::recording::RecordingSender;
use chat_core::receipt::{ReceiptRecord, UserCursors};
use chat_core::record::{Op, Record};
use chat_core::relay::Item;
use chat_core::trace::Tracer;
use chat_core::user_store::{DeviceRow, HOUR_MS, UserWrite};
use uuid::Uuid;

use super::*;
use crate::fixture::{T0, World, poll, user, users};

fn ports(world: &World, push: Option<RecordingSender>) -> WorkersPorts {
    let World { log, store, users, relay, presence, clock, .. } = world.clone();
    let push = push.map(|push| Arc::new(push) as Arc<dyn PushSender>);
    WorkersPorts { log, store, users, relay, presence, search: None, push, clock, tracer: Tracer::off() }
}

#[tokio::test(start_paused = true)]
async fn all_roles_run_by_one_call() {
    let world = World::new();
    let sender = RecordingSender::new(world.clock.clone());
    let mut registry = Registry::default();
    let workers = Workers::new(ports(&world, Some(sender.clone())), WorkersConfig::embedded(), &mut registry);
    let status = workers.status();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(workers.run(shutdown.clone()));
    let device = DeviceRow {
        device: "phone".into(),
        platform: Platform::Fcm,
        push_token: "token".into(),
        updated_at: T0,
        invalid_at: None,
    };
    world.users.write(vec![UserWrite::PutDevice { user: user("bob"), device }]).await.unwrap();

    let pair = [user("ann"), user("bob")];
    let chat_id = ChatId::direct(&pair[0], &pair[1]);
    let content_type = ContentType::Text;
    let op = Op::Send { direct: Some(pair), content_type, content: "hi".into(), attachment: None, meta: None };
    let id = Uuid::from_u128((u128::from(T0.millis()) << 80) | (7 << 76) | (0b10 << 62) | 1);
    let record = Record::new(chat_id, user("ann"), id, op);
    let append = Append {
        topic: Topic::Messages,
        partition: partition_of(chat_id, world.log.partitions(Topic::Messages)),
        key: chat_id.to_string().into(),
        payload: record.encode(),
        headers: Vec::new(),
    };
    world.log.append(append).await.unwrap();
    poll("bob is pushed to", || async { sender.sent().len() == 1 }).await;

    let mut inbox = world.relay.open(&chat_core::id::GatewayId::new("gw", "b")).await.unwrap();
    world.relay.register(&chat_core::id::GatewayId::new("gw", "b"), &users(&["ann"])).await.unwrap();
    let read = ReceiptRecord::new(chat_id, vec![UserCursors::new(user("bob"), 1, 1, true)]);
    world.log.append(read.to_append(world.log.partitions(Topic::Receipts))).await.unwrap();
    let (_, envelope) = inbox.next().await.unwrap();
    let [Item::Frame { push, .. }] = envelope.items.as_slice() else { panic!("{envelope:?}") };
    assert_eq!(**push, Push::Receipt { chat_id, user: user("bob"), delivered: 1, read: 1 });

    let hour = T0.millis() / HOUR_MS;
    poll("it is counted", || async { !world.users.usage(hour, hour + 1).await.unwrap().is_empty() }).await;
    let lag = || status.roles().iter().flat_map(|role| &role.partitions).map(|partition| partition.lag).sum::<u64>();
    poll("all is committed", || async { lag() == 0 }).await;
    let names: Vec<Role> = status.roles().iter().map(|role| role.role).collect();
    assert_eq!(names, [Role::Sequencer, Role::Receipts, Role::Push, Role::Analytics], "no index, no indexer");
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for metric in ["chat_receipts_frames_total{frame=\"receipt\"} 1", "chat_push_outcomes_total{outcome=\"sent\"} 1"] {
        assert!(text.contains(metric), "{metric} is not in\n{text}");
    }
    let begun = tokio::time::Instant::now();
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn only_the_chosen_roles_run() {
    let world = World::new();
    let config = WorkersConfig { roles: vec![Role::Analytics, Role::Push, Role::Indexer], ..WorkersConfig::default() };
    let workers = Workers::new(ports(&world, None), config, &mut Registry::default());
    let status = workers.status();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(workers.run(shutdown.clone()));
    poll("analytics owns its partitions", || async { status.roles()[0].partitions.len() == 2 }).await;
    assert_eq!(status.roles().len(), 1, "without vendors and an index there is nothing to do for the other two");
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
