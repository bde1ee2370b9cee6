//! The way to the vendors, against stand-ins of their services: the port's contract, then what each vendor asks for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::sync::{Arc, Mutex};

use chat_core::clock::{Clock, Time};
use chat_core::config::{ApnsConfig, PushConfig};
use chat_core::push::contract::{Subject, a_device, a_notification};
use chat_core::push::stand_in::{Authority, Fault, Reply, StandIns};
use chat_core::push::vendors::{Endpoint, Endpoints, Vendors};
use chat_core::push::{Device, Platform, PushAnswer, PushSender};
use futures_util::future::join_all;
use serde_json::json;

chat_core::push_contract!([#[tokio::test]], StandIns::start());

const MINUTE_MS: u64 = 60_000;

async fn push(stand_ins: &StandIns, platform: Platform) -> PushAnswer {
    stand_ins.sender().deliver(&a_device(platform), &a_notification()).await
}

fn reason(answer: &PushAnswer) -> &str {
    match answer {
        PushAnswer::Accepted => "",
        PushAnswer::InvalidToken { reason, .. } | PushAnswer::Refused { reason } | PushAnswer::Later { reason, .. } => {
            reason
        }
    }
}

fn authorizations(stand_ins: &StandIns) -> Vec<String> {
    let heads = stand_ins.apns.heads();
    heads.iter().map(|head| head.headers["authorization"].to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn apple_gets_every_header() {
    let stand_ins = StandIns::start();
    assert_eq!(push(&stand_ins, Platform::Apns).await, PushAnswer::Accepted);
    let head = stand_ins.apns.heads().remove(0);
    let expiration = (stand_ins.clock.now().millis() / 1_000 + 7 * 86_400).to_string();
    for (header, value) in [
        ("apns-topic", "com.example.chat"),
        ("apns-push-type", "alert"),
        ("apns-priority", "10"),
        ("apns-expiration", &expiration),
        ("apns-collapse-id", &a_notification().collapse_id()),
    ] {
        assert_eq!(head.headers[header], value, "{header}");
    }
}

#[tokio::test]
async fn one_connection_and_one_provider_token_carry_many_notifications() {
    let stand_ins = StandIns::start();
    let answers = join_all((0..500).map(|_| push(&stand_ins, Platform::Apns))).await;
    assert!(answers.iter().all(|answer| *answer == PushAnswer::Accepted));
    assert_eq!(stand_ins.apns.connections(), 1);
    let mut authorizations = authorizations(&stand_ins);
    authorizations.dedup();
    assert_eq!(authorizations.len(), 1);
}

#[tokio::test]
async fn a_provider_token_is_renewed_before_it_is_an_hour_old() {
    let stand_ins = StandIns::start();
    for _ in 0..30 {
        assert_eq!(push(&stand_ins, Platform::Apns).await, PushAnswer::Accepted, "neither too old nor too often");
        stand_ins.clock.advance_millis(10 * MINUTE_MS);
    }
    let mut authorizations = authorizations(&stand_ins);
    authorizations.dedup();
    assert_eq!(authorizations.len(), 6, "300 minutes, 50 each");
}

#[tokio::test]
async fn a_provider_token_that_expired_early_is_renewed_and_the_notification_sent() {
    let stand_ins = StandIns::start();
    let device = a_device(Platform::Apns);
    assert_eq!(push(&stand_ins, Platform::Apns).await, PushAnswer::Accepted);
    stand_ins.apns.reply(&device.token, Reply::new(403, &json!({"reason": "ExpiredProviderToken"})));
    let refused = PushAnswer::Later { reason: "ExpiredProviderToken".into(), retry_after_ms: None };
    assert_eq!(push(&stand_ins, Platform::Apns).await, refused, "it is too young to be renewed");
    assert_eq!(stand_ins.apns.heads().len(), 2);
    stand_ins.clock.advance_millis(20 * MINUTE_MS);
    assert_eq!(push(&stand_ins, Platform::Apns).await, refused);
    let authorizations = authorizations(&stand_ins);
    assert_eq!(authorizations.len(), 4, "once more with a new one, and no more than that");
    assert_ne!(authorizations[2], authorizations[3]);
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_keep_an_old_token() {
    let stand_ins = StandIns::start();
    let sender = stand_ins.sender();
    let ahead = Time::from_millis(stand_ins.clock.now().millis() + 120 * MINUTE_MS);
    let right = stand_ins.clock.now();
    stand_ins.clock.set(ahead);
    assert_eq!(sender.deliver(&a_device(Platform::Apns), &a_notification()).await, PushAnswer::Accepted);
    stand_ins.clock.set(right);
    // The stand-in has the same clock and takes no new token for a while; the sender must at least have made one.
    push(&stand_ins, Platform::Apns).await;
    let authorizations = authorizations(&stand_ins);
    assert_ne!(authorizations[0], authorizations[1]);
}

#[tokio::test]
async fn what_a_connection_lost_is_sent_again_under_one_collapse_id() {
    for platform in [Platform::Apns, Platform::Fcm] {
        for fault in [Fault::Reset, Fault::GoAway, Fault::Cut] {
            let stand_ins = StandIns::start();
            // The access token is there, so that the faults meet notifications.
            assert_eq!(push(&stand_ins, platform).await, PushAnswer::Accepted);
            let server = if platform == Platform::Apns { &*stand_ins.apns } else { &*stand_ins.fcm };
            server.fail_next(&[fault, fault]);
            assert_eq!(push(&stand_ins, platform).await, PushAnswer::Accepted, "{platform:?} {fault:?}");
            let received = stand_ins.received();
            let taken = if fault == Fault::Cut { 4 } else { 2 };
            assert_eq!(received.len(), taken, "{platform:?} {fault:?}");
            assert!(received.iter().all(|received| received.collapse_id == a_notification().collapse_id()));
            let connections = if fault == Fault::Reset { 1 } else { 3 };
            assert_eq!(server.connections(), connections, "{platform:?} {fault:?}");
        }
    }
}

#[tokio::test]
async fn attempts_are_bounded() {
    let stand_ins = StandIns::start();
    stand_ins.apns.fail_next(&[Fault::Reset; 10]);
    let answer = push(&stand_ins, Platform::Apns).await;
    assert!(matches!(answer, PushAnswer::Later { .. }), "{answer:?}");
    assert_eq!(stand_ins.received().len(), 0);
    // Four attempts each: the tenth fault is met by the third notification.
    assert!(matches!(push(&stand_ins, Platform::Apns).await, PushAnswer::Later { .. }));
    assert_eq!(push(&stand_ins, Platform::Apns).await, PushAnswer::Accepted);
}

#[tokio::test]
async fn a_vendor_that_says_nothing_is_given_up_in_time() {
    let stand_ins = StandIns::start();
    stand_ins.apns.fail_next(&[Fault::Silence; 4]);
    let begun = tokio::time::Instant::now();
    let answer = push(&stand_ins, Platform::Apns).await;
    assert!(matches!(answer, PushAnswer::Later { .. }), "{answer:?}");
    assert!(begun.elapsed().as_secs() < 10, "the caller waits 10 s");
}

#[tokio::test]
async fn a_dead_token_is_told_with_its_time() {
    let stand_ins = StandIns::start();
    let device = a_device(Platform::Apns);
    let gone = json!({"reason": "Unregistered", "timestamp": 1_764_000_000_120_u64});
    stand_ins.apns.reply(&device.token, Reply::new(410, &gone));
    let since = Some(Time::from_millis(1_764_000_000_120));
    let expected = PushAnswer::InvalidToken { reason: "Unregistered".into(), since };
    assert_eq!(push(&stand_ins, Platform::Apns).await, expected);
}

#[tokio::test]
async fn a_wrong_topic_costs_no_device_its_registration() {
    let stand_ins = StandIns::start();
    let config = stand_ins.config();
    let apns = ApnsConfig { topic: "com.example.other".into(), ..config.apns.clone().unwrap() };
    let wrong = stand_ins.sender_by(&PushConfig { apns: Some(apns), ..config }, &stand_ins.endpoints());
    let answer = wrong.deliver(&a_device(Platform::Apns), &a_notification()).await;
    assert_eq!(answer, PushAnswer::Later { reason: "TopicDisallowed".into(), retry_after_ms: None });
    // Of another environment: every token looks bad.
    let fresh = StandIns::start();
    fresh.apns.reply(&a_device(Platform::Apns).token, Reply::new(400, &json!({"reason": "BadDeviceToken"})));
    assert_eq!(push(&fresh, Platform::Apns).await, PushAnswer::Refused { reason: "BadDeviceToken".into() });
    let other = Device { token: "00ff".into(), ..a_device(Platform::Apns) };
    assert_eq!(fresh.sender().deliver(&other, &a_notification()).await, PushAnswer::Accepted);
    let invalid = PushAnswer::InvalidToken { reason: "BadDeviceToken".into(), since: None };
    assert_eq!(push(&fresh, Platform::Apns).await, invalid);
}

#[tokio::test]
async fn a_token_that_would_leave_its_place_in_the_path_is_not_sent() {
    let stand_ins = StandIns::start();
    for token in ["00/../../x", "00?a", "", "zz", &"0".repeat(201)] {
        let device = Device { token: token.into(), ..a_device(Platform::Apns) };
        let answer = stand_ins.sender().deliver(&device, &a_notification()).await;
        assert!(matches!(answer, PushAnswer::InvalidToken { .. }), "{token}: {answer:?}");
    }
    assert_eq!(stand_ins.apns.connections(), 0);
}

#[tokio::test]
async fn an_access_token_is_exchanged_once_and_renewed_early() {
    let stand_ins = StandIns::start();
    let answers = join_all((0..100).map(|_| push(&stand_ins, Platform::Fcm))).await;
    assert!(answers.iter().all(|answer| *answer == PushAnswer::Accepted));
    assert_eq!(stand_ins.fcm.exchanges(), 1, "one for all");
    stand_ins.clock.advance_millis(54 * MINUTE_MS);
    assert_eq!(push(&stand_ins, Platform::Fcm).await, PushAnswer::Accepted);
    assert_eq!(stand_ins.fcm.exchanges(), 1);
    stand_ins.clock.advance_millis(MINUTE_MS);
    assert_eq!(push(&stand_ins, Platform::Fcm).await, PushAnswer::Accepted);
    assert_eq!(stand_ins.fcm.exchanges(), 2, "before it expires");
    stand_ins.clock.advance_millis(120 * MINUTE_MS);
    let answers = join_all((0..100).map(|_| push(&stand_ins, Platform::Fcm))).await;
    assert!(answers.iter().all(|answer| *answer == PushAnswer::Accepted));
    assert_eq!(stand_ins.fcm.exchanges(), 3, "one for all");
}

#[tokio::test]
async fn an_access_token_that_was_taken_back_is_exchanged_anew() {
    let stand_ins = StandIns::start();
    assert_eq!(push(&stand_ins, Platform::Fcm).await, PushAnswer::Accepted);
    stand_ins.fcm.revoke_tokens();
    assert_eq!(push(&stand_ins, Platform::Fcm).await, PushAnswer::Accepted);
    assert_eq!(stand_ins.fcm.exchanges(), 2);
}

#[tokio::test]
async fn a_renewal_that_fails_leaves_the_old_token_in_use() {
    let stand_ins = StandIns::start();
    assert_eq!(push(&stand_ins, Platform::Fcm).await, PushAnswer::Accepted);
    stand_ins.fcm.revoke_keys();
    stand_ins.clock.advance_millis(56 * MINUTE_MS);
    for _ in 0..10 {
        assert_eq!(push(&stand_ins, Platform::Fcm).await, PushAnswer::Accepted);
    }
    assert_eq!(stand_ins.fcm.exchanges(), 2, "a failed exchange is not repeated at once");
}

#[tokio::test]
async fn a_notification_without_an_access_token_is_put_off_until_there_may_be_one() {
    let stand_ins = StandIns::start();
    stand_ins.fcm.fail_next(&[Fault::Reset; 4]);
    for _ in 0..2 {
        let answer = push(&stand_ins, Platform::Fcm).await;
        assert!(matches!(answer, PushAnswer::Later { retry_after_ms: Some(1..=2_000), .. }), "{answer:?}");
    }
    assert_eq!(stand_ins.fcm.exchanges(), 0);
    let mut attempts = 0;
    while let PushAnswer::Later { retry_after_ms: Some(pause), .. } = push(&stand_ins, Platform::Fcm).await {
        attempts += 1;
        assert!(attempts < 10, "the pause does not end");
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
    }
    assert_eq!(stand_ins.fcm.exchanges(), 1);
    assert_eq!(push(&stand_ins, Platform::Fcm).await, PushAnswer::Accepted);
}

#[tokio::test]
async fn a_changed_service_account_is_used_without_a_restart() {
    let stand_ins = StandIns::start();
    stand_ins.fcm.revoke_keys();
    for _ in 0..10 {
        let answer = push(&stand_ins, Platform::Fcm).await;
        assert_eq!(reason(&answer), "no access token: invalid_grant");
        assert!(matches!(answer, PushAnswer::Later { .. }), "people can mend it");
    }
    assert_eq!(stand_ins.fcm.exchanges(), 1, "a failed exchange is not repeated at once");
    fs::write(stand_ins.config().fcm.unwrap().service_account_file, stand_ins.fcm.new_account()).unwrap();
    stand_ins.clock.advance_millis(10_000);
    assert_eq!(push(&stand_ins, Platform::Fcm).await, PushAnswer::Accepted);
}

#[tokio::test]
async fn a_changed_signing_key_is_used_without_a_restart_and_a_broken_one_is_not() {
    let stand_ins = StandIns::start();
    let apns = stand_ins.config().apns.unwrap();
    assert_eq!(push(&stand_ins, Platform::Apns).await, PushAnswer::Accepted);
    let key = stand_ins.apns.new_key(&apns.key_id);
    assert_eq!(reason(&push(&stand_ins, Platform::Apns).await), "InvalidProviderToken");
    fs::write(&apns.key_file, "not a key").unwrap();
    stand_ins.clock.advance_millis(10_000);
    assert_eq!(reason(&push(&stand_ins, Platform::Apns).await), "InvalidProviderToken");
    fs::write(&apns.key_file, key).unwrap();
    stand_ins.clock.advance_millis(20 * MINUTE_MS);
    assert_eq!(push(&stand_ins, Platform::Apns).await, PushAnswer::Accepted);
}

#[tokio::test]
async fn credentials_that_are_none_are_refused_at_start() {
    let stand_ins = StandIns::start();
    let (config, clock) = (stand_ins.config(), Arc::new(stand_ins.clock) as Arc<dyn Clock>);
    let (apns, fcm) = (config.apns.clone().unwrap(), config.fcm.clone().unwrap());
    let account = fs::read_to_string(&fcm.service_account_file).unwrap();
    fs::write(&fcm.service_account_file, account.replace("service_account", "authorized_user")).unwrap();
    let error = Vendors::new(&config, &clock).unwrap_err();
    assert!(error.to_string().ends_with("account.json is not the key of a service account"), "{error}");
    assert!(!error.is_retryable());
    fs::write(&apns.key_file, account).unwrap();
    let error = Vendors::new(&config, &clock).unwrap_err();
    assert!(error.to_string().ends_with("key.p8 is not an ECDSA P-256 key in PKCS #8 PEM"), "{error}");
    fs::remove_file(&apns.key_file).unwrap();
    assert!(Vendors::new(&config, &clock).unwrap_err().is_retryable(), "it may be mounted later");
}

#[tokio::test]
async fn a_vendor_that_is_not_configured_refuses() {
    let stand_ins = StandIns::start();
    let none = stand_ins.sender_by(&PushConfig::default(), &Endpoints::default());
    for platform in [Platform::Apns, Platform::Fcm] {
        let answer = none.deliver(&a_device(platform), &a_notification()).await;
        assert!(matches!(answer, PushAnswer::Refused { .. }), "{answer:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let stand_ins = StandIns::start();
    let other = Authority::new().certificate().to_vec();
    let of = |endpoint| Some(Endpoint { authority: other.clone(), ..endpoint });
    let endpoints = Endpoints { apns: of(stand_ins.apns.endpoint()), fcm: of(stand_ins.fcm.endpoint()) };
    let sender = stand_ins.sender_by(&stand_ins.config(), &endpoints);
    for platform in [Platform::Apns, Platform::Fcm] {
        let answer = sender.deliver(&a_device(platform), &a_notification()).await;
        assert!(matches!(answer, PushAnswer::Later { .. }), "{answer:?}");
        assert!(reason(&answer).contains("invalid peer certificate"), "it says why: {answer:?}");
    }
    assert!(stand_ins.received().is_empty());
    assert_eq!((stand_ins.apns.connections(), stand_ins.fcm.connections()), (0, 0));
}

/// All that is logged, at every level, by every crate.
#[derive(Debug, Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_in_a_log_an_error_or_debug() {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let stand_ins = StandIns::start();
    let config = stand_ins.config();
    let mut shown = String::new();
    stand_ins.apns.fail_next(&[Fault::Reset; 4]);
    for platform in [Platform::Apns, Platform::Apns, Platform::Fcm] {
        write!(shown, "{:?}", push(&stand_ins, platform).await).unwrap();
    }
    let nowhere = Endpoints {
        apns: Some(Endpoint { base: "https://localhost:1".into(), ..stand_ins.apns.endpoint() }),
        fcm: Some(Endpoint { base: "https://localhost:1".into(), ..stand_ins.fcm.endpoint() }),
    };
    let cut_off = stand_ins.sender_by(&config, &nowhere);
    for platform in [Platform::Apns, Platform::Fcm] {
        write!(shown, "{:?}", cut_off.deliver(&a_device(platform), &a_notification()).await).unwrap();
    }
    let refused = stand_ins.apns.new_key("ABC123DEFG");
    fs::write(&config.fcm.clone().unwrap().service_account_file, "broken").unwrap();
    stand_ins.clock.advance_millis(10_000);
    for platform in [Platform::Apns, Platform::Fcm] {
        write!(shown, "{:?}", push(&stand_ins, platform).await).unwrap();
    }
    write!(shown, "{:?} {config:?} {:?}", stand_ins.sender(), a_device(Platform::Apns)).unwrap();
    shown.push_str(&String::from_utf8(logged.0.lock().unwrap().clone()).unwrap());
    assert!(shown.contains("refuses our credentials"), "the log is looked at");
    assert!(shown.contains("push credentials stay as they were"), "the log is looked at");
    let bearers = authorizations(&stand_ins);
    let mut secrets: Vec<String> = bearers.iter().map(|secret| secret.replacen("bearer ", "", 1)).collect();
    secrets.extend(stand_ins.fcm.access_tokens());
    secrets.extend([Platform::Apns, Platform::Fcm].map(|platform| a_device(platform).token));
    let keys = [fs::read_to_string(config.apns.unwrap().key_file).unwrap(), refused];
    secrets.extend(keys.iter().flat_map(|key| key.lines().filter(|line| !line.starts_with("--")).map(str::to_owned)));
    for secret in secrets {
        assert!(secret.len() > 15, "{secret}");
        assert!(!shown.contains(&secret), "{secret} is shown");
    }
}
