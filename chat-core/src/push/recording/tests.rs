use super::*;
use crate::clock::ManualClock;
use crate::push::contract::{Received, Subject, a_device, a_notification};

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(Time::from_millis(1_764_000_000_120)))
}

struct Recorded(RecordingSender);

impl Subject for Recorded {
    fn sender(&self) -> Arc<dyn PushSender> {
        Arc::new(self.0.clone())
    }

    fn answer(&self, device: &Device, answer: PushAnswer) {
        self.0.set_answer(&device.token, answer);
    }

    fn received(&self) -> Vec<Received> {
        let received = |sent: Sent| {
            let payload: serde_json::Value = serde_json::from_str(&sent.payload).unwrap();
            Received {
                platform: sent.device.platform,
                token: sent.device.token,
                collapse_id: sent.collapse_id,
                payload_bytes: sent.payload.len(),
                chat: payload["chat"].clone(),
            }
        };
        self.0.sent().into_iter().map(received).collect()
    }
}

crate::push_contract!([#[tokio::test]], Recorded(RecordingSender::new(clock())));

#[tokio::test]
async fn memory_keeps_the_newest() {
    let sender = RecordingSender::new(clock());
    for seq in 1..=KEPT as u64 + 10 {
        sender.deliver(&a_device(Platform::Fcm), &Notification { seq, ..a_notification() }).await;
    }
    let sent = sender.sent();
    assert_eq!(sent.len(), KEPT);
    assert!(sent.last().unwrap().collapse_id.ends_with(&format!(":{}", KEPT + 10)));
}

#[tokio::test]
async fn the_file_has_a_line_for_each_and_no_token() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("push.jsonl");
    let notification = Notification { content: Some("line\nbreak".into()), ..a_notification() };
    for platform in [Platform::Apns, Platform::Fcm] {
        // Opened anew each time: what is there stays.
        let sender = RecordingSender::appending(clock(), &path).unwrap();
        assert_eq!(sender.deliver(&a_device(platform), &notification).await, PushAnswer::Accepted);
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["platform"], &lines[1]["platform"]), (&"apns".into(), &"fcm".into()));
    assert_eq!(lines[0]["at"], "2025-11-24T16:00:00.120Z");
    assert_eq!(lines[0]["payload"]["chat"]["content"], "line\nbreak");
    assert_eq!(lines[0]["answer"], "accepted");
    assert!(!text.contains(&a_device(Platform::Apns).token));
}

#[tokio::test]
async fn what_cannot_be_recorded_is_to_be_tried_later() {
    let sender = RecordingSender::appending(clock(), Path::new("/dev/full")).unwrap();
    let answer = sender.deliver(&a_device(Platform::Apns), &a_notification()).await;
    assert!(matches!(answer, PushAnswer::Later { .. }), "{answer:?}");
}
