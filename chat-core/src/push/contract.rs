//! What every push sender must do, as checks. [`push_contract!`](crate::push_contract) makes one test of each.

#![expect(clippy::missing_panics_doc, reason = "a check fails by panicking")]

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Device, MAX_PAYLOAD_BYTES, Notification, Platform, PushAnswer, PushSender};
use crate::clock::Time;
use crate::id::{ChatId, MessageId, UserId};

/// A sender under test, with a stand-in for the vendors that shows what arrived and answers as told.
pub trait Subject: Send + Sync {
    /// Returns the sender.
    fn sender(&self) -> Arc<dyn PushSender>;

    /// Makes the vendor answer so for this device from now on; otherwise it accepts.
    fn answer(&self, device: &Device, answer: PushAnswer);

    /// Returns what the vendors received, oldest first.
    fn received(&self) -> Vec<Received>;
}

/// One notification as a vendor received it.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// By which vendor.
    pub platform: Platform,
    /// For which token.
    pub token: String,
    /// Under which collapse id.
    pub collapse_id: String,
    /// Size of what counts against the vendor's limit.
    pub payload_bytes: usize,
    /// The `chat` object, decoded from where the vendor's format has it.
    pub chat: Value,
}

/// Makes one test of each check: `push_contract!([#[tokio::test]], subject)`. The first argument is the test
/// attribute, the second an expression, evaluated in each test, of a type that is a [`Subject`].
#[macro_export]
macro_rules! push_contract {
    ($test:tt, $subject:expr) => {
        $crate::push_contract! { $test, $subject,
            a_notification_reaches_the_devices_vendor_whole,
            content_is_sent_only_where_given,
            the_vendors_answer_is_passed_on,
            each_attempt_has_the_same_collapse_id,
            long_content_is_cut_and_the_ids_are_not,
        }
    };
    ($test:tt, $subject:expr, $($check:ident,)+) => {
        $($crate::push_contract! { @one $test, $subject, $check })+
    };
    (@one [$($test:tt)*], $subject:expr, $check:ident) => {
        $($test)*
        async fn $check() {
            $crate::push::contract::$check(&$subject).await;
        }
    };
}

/// Returns a device of a vendor.
pub fn a_device(platform: Platform) -> Device {
    let user = UserId::new("ada").expect("a user id");
    let token = match platform {
        Platform::Apns => "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0",
        Platform::Fcm => "fcm-token:of-a_phone",
    };
    Device { user, device: "phone".into(), platform, token: token.into() }
}

/// Returns a notification without content, with the longest user id there is.
pub fn a_notification() -> Notification {
    Notification {
        chat_id: ChatId(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001)),
        seq: 42,
        message_id: MessageId(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0002)),
        sender: UserId::new(&"b".repeat(128)).expect("a user id"),
        unread: 7,
        content: None,
    }
}

fn as_json(notification: &Notification) -> Value {
    serde_json::to_value(notification).expect("a notification has string keys only")
}

/// Token, collapse id and every field of the `chat` object arrive, by the right vendor, once.
pub async fn a_notification_reaches_the_devices_vendor_whole(subject: &dyn Subject) {
    let mut expected = Vec::new();
    for platform in [Platform::Apns, Platform::Fcm] {
        let (device, notification) = (a_device(platform), a_notification());
        assert_eq!(subject.sender().deliver(&device, &notification).await, PushAnswer::Accepted);
        expected.push((platform, device.token, notification.collapse_id(), as_json(&notification)));
    }
    let received = subject.received().into_iter();
    let received: Vec<_> = received.map(|got| (got.platform, got.token, got.collapse_id, got.chat)).collect();
    assert_eq!(received, expected);
}

/// A cluster that does not send content must not leak it, not even as an empty field.
pub async fn content_is_sent_only_where_given(subject: &dyn Subject) {
    for content in [None, Some("\"hé\"\n👍".to_owned())] {
        let notification = Notification { content, ..a_notification() };
        subject.sender().deliver(&a_device(Platform::Apns), &notification).await;
        let received = subject.received().pop().expect("a notification must arrive");
        assert_eq!(received.chat.get("content"), notification.content.map(|content| json!(content)).as_ref());
    }
}

/// The answer tells what to do: done, never again for this device, never again for this notification, or later.
pub async fn the_vendors_answer_is_passed_on(subject: &dyn Subject) {
    let refused = |reason: &str| PushAnswer::Refused { reason: reason.into() };
    let invalid = |reason: &str, since| PushAnswer::InvalidToken { reason: reason.into(), since };
    let later = |reason: &str, retry_after_ms| PushAnswer::Later { reason: reason.into(), retry_after_ms };
    let apple = [
        PushAnswer::Accepted,
        invalid("Unregistered", Some(Time::from_millis(1_764_000_000_120))),
        refused("BadMessageId"),
        later("ServiceUnavailable", None),
        later("TooManyRequests", Some(60_000)),
    ];
    let google = [
        PushAnswer::Accepted,
        invalid("UNREGISTERED", None),
        refused("INVALID_ARGUMENT"),
        later("UNAVAILABLE", None),
        later("QUOTA_EXCEEDED", Some(60_000)),
    ];
    for (platform, answers) in [(Platform::Apns, apple), (Platform::Fcm, google)] {
        let device = a_device(platform);
        for answer in answers {
            subject.answer(&device, answer.clone());
            assert_eq!(subject.sender().deliver(&device, &a_notification()).await, answer);
        }
    }
}

/// A repetition is shown once; another message is shown beside it.
pub async fn each_attempt_has_the_same_collapse_id(subject: &dyn Subject) {
    let device = a_device(Platform::Apns);
    let other = Notification { seq: 43, ..a_notification() };
    // The unread count may have changed between attempts.
    for notification in [a_notification(), Notification { unread: 9, ..a_notification() }, other] {
        subject.sender().deliver(&device, &notification).await;
    }
    let ids: Vec<String> = subject.received().into_iter().map(|received| received.collapse_id).collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
}

/// The payload fits whatever the content is: plain, wide, or growing sixfold when escaped.
pub async fn long_content_is_cut_and_the_ids_are_not(subject: &dyn Subject) {
    for (platform, character) in [(Platform::Apns, "a"), (Platform::Fcm, "👍"), (Platform::Apns, "\u{1}")] {
        let content = character.repeat(16 * 1024 / character.len());
        let notification = Notification { content: Some(content.clone()), ..a_notification() };
        subject.sender().deliver(&a_device(platform), &notification).await;
        let mut received = subject.received().pop().expect("a notification must arrive");
        assert!(received.payload_bytes <= MAX_PAYLOAD_BYTES, "{} bytes of {character:?}", received.payload_bytes);
        assert!(received.payload_bytes > MAX_PAYLOAD_BYTES - 64, "more of {character:?} would have fitted");
        let chat = received.chat.as_object_mut().expect("an object");
        let Some(Value::String(cut)) = chat.remove("content") else { panic!("content must be cut, not dropped") };
        assert!(!cut.is_empty() && content.starts_with(&cut));
        assert_eq!(received.chat, as_json(&a_notification()));
    }
}
