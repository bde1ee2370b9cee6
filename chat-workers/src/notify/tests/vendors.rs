//! The whole way of a push, to stand-ins of Apple's and Google's services, over TLS.

use chat_core::push::contract::{Subject, a_device};
use chat_core::push::stand_in::{Fault, Reply, StandIns};
use serde_json::json;

use super::*;

const BOTH: [Platform; 2] = [Platform::Apns, Platform::Fcm];

/// A cluster that pushes by both vendors. Bob has a device of each and is not there.
struct Cluster {
    world: World,
    vendors: StandIns,
}

impl Cluster {
    async fn start() -> (Self, Running, ChatId) {
        let (world, vendors) = (World::new(), StandIns::start());
        let chat = world.direct("ann", "bob").await;
        for platform in BOTH {
            let device = DeviceRow {
                device: name(platform).to_owned(),
                platform,
                push_token: a_device(platform).token,
                updated_at: T0,
                invalid_at: None,
            };
            world.users.write(vec![UserWrite::PutDevice { user: user("bob"), device }]).await.unwrap();
        }
        let World { log, store, users, clock, .. } = world.clone();
        let ports = NotifyPorts { log, store, users, push: vendors.sender(), clock };
        let config = NotifyConfig { send_content: true, ..NotifyConfig::default() };
        let running = world.run(Notify::new(ports, config, PushMetrics::default()), TOPIC);
        (Self { world, vendors }, running, chat)
    }

    async fn say(&self, chat: ChatId, content: &str) {
        let event = self.world.say(chat, "ann", content).await;
        let record = self.world.push_record(&event, &["bob"]).await;
        self.world.append(TOPIC, chat, record.encode()).await;
    }

    /// Returns what became of the pushes of the only message, by device.
    async fn outcome(&self) -> Vec<(String, PushResult)> {
        let read = || async {
            let mut found = Vec::new();
            for partition in 0..self.world.log.partitions(Topic::PushOutcomes) {
                found.extend(self.world.log.read(Topic::PushOutcomes, partition, 0, 10).await.unwrap());
            }
            found
        };
        poll("there is an outcome", || async { !read().await.is_empty() }).await;
        let told = PushOutcomes::decode(&read().await.remove(0).payload).unwrap();
        told.outcomes.into_iter().map(|outcome| (outcome.device.unwrap(), outcome.outcome)).collect()
    }

    async fn is_valid(&self, platform: Platform) -> bool {
        let devices = self.world.users.devices(&[user("bob")]).await.unwrap().remove(0);
        devices.iter().any(|device| device.platform == platform && device.invalid_at.is_none())
    }

    /// Returns the collapse ids under which a vendor took notifications, oldest first.
    fn collapse_ids(&self, platform: Platform) -> Vec<String> {
        let received = self.vendors.received().into_iter().filter(|received| received.platform == platform);
        received.map(|received| received.collapse_id).collect()
    }
}

fn name(platform: Platform) -> &'static str {
    match platform {
        Platform::Apns => "phone",
        Platform::Fcm => "tablet",
    }
}

fn outcome(phone: PushResult, tablet: PushResult) -> Vec<(String, PushResult)> {
    named(&[("phone", phone), ("tablet", tablet)])
}

#[tokio::test]
async fn a_message_to_who_is_not_there_reaches_both_vendors() {
    let (cluster, running, chat) = Cluster::start().await;
    cluster.say(chat, "hello").await;
    assert_eq!(cluster.outcome().await, outcome(PushResult::Sent, PushResult::Sent));
    let received = cluster.vendors.received();
    assert_eq!(received.len(), 2);
    for received in received {
        assert_eq!(received.collapse_id, format!("{chat}:1"));
        let told = |name: &str| received.chat[name].clone();
        assert_eq!((told("content"), told("sender"), told("seq")), (json!("hello"), json!("ann"), json!(1)));
    }
    running.caught_up(TOPIC, &cluster.world).await;
    running.stop().await;
}

#[tokio::test]
async fn a_dead_token_marks_its_device_and_no_other() {
    let (cluster, running, chat) = Cluster::start().await;
    let gone = json!({"reason": "Unregistered", "timestamp": T0.millis() + 1});
    cluster.vendors.apns.reply(&a_device(Platform::Apns).token, Reply::new(410, &gone));
    cluster.say(chat, "hello").await;
    assert_eq!(cluster.outcome().await, outcome(PushResult::InvalidToken, PushResult::Sent));
    assert!(!cluster.is_valid(Platform::Apns).await);
    assert!(cluster.is_valid(Platform::Fcm).await);
    running.stop().await;
}

#[tokio::test]
async fn a_device_that_registered_after_its_token_died_stays() {
    let (cluster, running, chat) = Cluster::start().await;
    let gone = json!({"reason": "Unregistered", "timestamp": T0.millis() - 1});
    cluster.vendors.apns.reply(&a_device(Platform::Apns).token, Reply::new(410, &gone));
    cluster.say(chat, "hello").await;
    assert_eq!(cluster.outcome().await, outcome(PushResult::Refused, PushResult::Sent));
    assert!(cluster.is_valid(Platform::Apns).await);
    running.stop().await;
}

#[tokio::test]
async fn what_a_vendor_puts_off_comes_later_under_the_same_collapse_id() {
    let (cluster, running, chat) = Cluster::start().await;
    let [phone, tablet] = BOTH.map(|platform| a_device(platform).token);
    let busy = |body: serde_json::Value| Reply { retry_after: Some("1".into()), ..Reply::new(429, &body) };
    cluster.vendors.apns.reply(&phone, busy(json!({"reason": "TooManyRequests"})));
    cluster.vendors.fcm.reply(&tablet, busy(json!({"error": {"status": "RESOURCE_EXHAUSTED"}})));
    cluster.say(chat, "hello").await;
    let begun = tokio::time::Instant::now();
    let is_tried = || async { BOTH.iter().all(|platform| !cluster.collapse_ids(*platform).is_empty()) };
    poll("both were asked", is_tried).await;
    cluster.vendors.apns.reply(&phone, Reply::new(200, ""));
    cluster.vendors.fcm.reply(&tablet, Reply::new(200, &json!({"name": "projects/example-chat/messages/1"})));
    assert_eq!(cluster.outcome().await, outcome(PushResult::Sent, PushResult::Sent));
    assert!(begun.elapsed() >= Duration::from_secs(1), "the vendor's wish is kept");
    for platform in BOTH {
        assert_eq!(cluster.collapse_ids(platform), vec![format!("{chat}:1"); 2]);
    }
    running.stop().await;
}

#[tokio::test]
async fn connections_that_break_cost_nothing_but_repetitions() {
    let (cluster, running, chat) = Cluster::start().await;
    let faults = [Fault::Cut, Fault::GoAway, Fault::Reset, Fault::Cut];
    cluster.vendors.apns.fail_next(&faults);
    cluster.vendors.fcm.fail_next(&faults);
    cluster.say(chat, "hello").await;
    assert_eq!(cluster.outcome().await, outcome(PushResult::Sent, PushResult::Sent));
    for platform in BOTH {
        let ids = cluster.collapse_ids(platform);
        assert!(ids.iter().all(|id| *id == format!("{chat}:1")) && !ids.is_empty(), "{ids:?}");
    }
    running.stop().await;
}
