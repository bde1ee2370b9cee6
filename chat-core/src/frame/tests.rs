use super::client::{Have, Sync};
use super::*;
use crate::codes::ErrorCode;

fn fault_of(text: &str) -> (ErrorCode, Option<String>) {
    let refused = decode(text).expect_err(text);
    (refused.fault.code, refused.fault.field)
}

#[test]
fn every_client_frame_decodes() {
    let chat = "0195c6a8-7d2e-7c00-8000-000000000001";
    let frames = [
        r#"{"id":1,"type":"auth","d":{"token":"secret"}}"#.to_owned(),
        format!(r#"{{"id":2,"type":"sync","d":{{"have":{{"{chat}":3}},"since":"2026-11-24T02:19:00.123Z"}}}}"#),
        format!(r#"{{"id":3,"type":"send","d":{{"chat_id":"{chat}","content":"hi","new_field":1}}}}"#),
        format!(r#"{{"id":4,"type":"edit","d":{{"chat_id":"{chat}","seq":1,"content":"ho"}}}}"#),
        format!(r#"{{"id":5,"type":"delete","d":{{"chat_id":"{chat}","seq":1}}}}"#),
        format!(r#"{{"type":"receipt","d":{{"chat_id":"{chat}","read":1}}}}"#),
        format!(r#"{{"type":"typing","d":{{"chat_id":"{chat}","active":true}}}}"#),
        r#"{"id":6,"type":"presence.subscribe","d":{"users":["bob"]}}"#.to_owned(),
        r#"{"id":7,"type":"presence.unsubscribe"}"#.to_owned(),
        r#"{"type":"ping"}"#.to_owned(),
    ];
    let decoded: Vec<_> = frames.iter().map(|text| decode(text).expect(text)).collect();
    insta::assert_debug_snapshot!(decoded);
}

#[test]
fn a_position_is_a_seq_or_a_pair() {
    let text = r#"{"have":{"0195c6a8-7d2e-7c00-8000-000000000001":4,"0195c6a8-7d2e-7c00-8000-000000000002":[5,6]}}"#;
    let sync: Sync = serde_json::from_str(text).unwrap();
    let have: Vec<Have> = sync.have.into_values().collect();
    assert_eq!(have, [Have::Seq(4), Have::SeqRev(5, 6)]);
}

#[test]
fn bad_frames_say_what_is_wrong_with_them() {
    let deep = format!(r#"{{"type":"ping","d":{{"x":{}{}}}}}"#, "[".repeat(20), "]".repeat(20));
    for (text, code, field) in [
        ("", ErrorCode::InvalidJson, None),
        ("[]", ErrorCode::InvalidJson, None),
        (r#"{"id":1}"#, ErrorCode::InvalidJson, None),
        (r#"{"id":-1,"type":"ping"}"#, ErrorCode::InvalidJson, None),
        (deep.as_str(), ErrorCode::InvalidJson, None),
        (r#"{"type":"dance"}"#, ErrorCode::UnknownType, None),
        (r#"{"id":9007199254740992,"type":"ping"}"#, ErrorCode::InvalidArgument, Some("id")),
        (r#"{"type":"ping","d":7}"#, ErrorCode::InvalidArgument, Some("d")),
        (r#"{"type":"send","d":{"to":"bob"}}"#, ErrorCode::InvalidArgument, Some("content")),
        (r#"{"type":"send","d":{"to":"a b","content":"x"}}"#, ErrorCode::InvalidArgument, Some("d")),
    ] {
        assert_eq!(fault_of(text), (code, field.map(str::to_owned)), "{text}");
    }
}

#[test]
fn a_refused_frame_keeps_its_number_and_type() {
    let refused = decode(r#"{"id":9,"type":"send","d":{}}"#).unwrap_err();
    assert_eq!((refused.id, refused.kind.as_deref()), (Some(9), Some("send")));
}

#[test]
fn a_token_is_not_shown_by_debug() {
    let frame = decode(r#"{"type":"auth","d":{"token":"secret"}}"#).unwrap();
    assert!(!format!("{frame:?}").contains("secret"));
}
