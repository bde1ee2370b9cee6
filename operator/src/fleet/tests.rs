use serde_json::json;

use super::*;

const NOW: Time = Time::from_millis(1_000_000);

fn member(ordinal: u32, intent: bool, answer: Option<(bool, bool, u64)>) -> Member {
    let deadline_at = NOW.plus_millis(60_000);
    Member {
        pod: Pod {
            name: format!("demo-gateway-{ordinal}"),
            ordinal,
            version: "1".to_owned(),
            ip: Some("10.0.0.1".to_owned()),
            ready: true,
            ends: false,
            intent: intent.then(|| Intent { reason: "ScaleIn".to_owned(), deadline_at }),
        },
        answer: answer.map(|(ready, draining, connections)| Answer { ready, draining, connections, drain: None }),
    }
}

#[test]
fn a_pod_is_read_with_its_intent() {
    let intent = r#"{"reason":"ScaleIn","deadlineAt":"2026-11-24T02:19:00.000Z"}"#;
    let pod = json!({
        "metadata": {"name": "a-b-gateway-12", "resourceVersion": "7", "annotations": {DRAIN: intent}},
        "status": {"podIP": "10.1.2.3", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    let pod = Pod::of(&pod).unwrap();
    assert_eq!((pod.ordinal, pod.ready, pod.ends), (12, true, false));
    assert_eq!(serde_json::to_string(&pod.intent.unwrap()).unwrap(), intent);
    assert_eq!(Pod::of(&json!({"metadata": {"name": "nobody"}})), None);
}

#[test]
fn phases_are_those_of_pod_and_process_together() {
    let all = [
        member(0, false, Some((true, false, 5))),
        member(1, false, Some((false, false, 0))),
        member(2, false, None),
        member(3, true, Some((false, true, 9))),
    ];
    let phases: Vec<_> = seen(&all, 5).iter().map(|it| (it.phase, it.connections)).collect();
    let expected = [
        (Phase::Ready, Some(5)),
        (Phase::Starting, Some(0)),
        (Phase::Ready, None),
        (Phase::Draining, Some(9)),
        (Phase::Starting, Some(0)),
    ];
    assert_eq!(phases, expected);
}

#[test]
fn only_the_last_ones_go_and_only_when_they_are_drained() {
    let up = member(0, false, Some((true, false, 5)));
    let drained = |ordinal| member(ordinal, true, Some((false, true, 0)));
    assert_eq!(left(&[up.clone(), drained(1), drained(2)], 3, NOW), 1);
    let holds = member(2, true, Some((false, true, 1)));
    assert_eq!(left(&[up.clone(), drained(1), holds], 3, NOW), 3, "the last one holds a connection");
    let not_told = member(1, true, Some((true, false, 0)));
    assert_eq!(left(&[up.clone(), not_told], 2, NOW), 2, "it takes clients still");
    assert_eq!(left(std::slice::from_ref(&up), 2, NOW), 2, "its pod is not there yet");
    let silent = member(1, true, None);
    assert_eq!(left(&[up.clone(), silent.clone()], 2, NOW), 2);
    assert_eq!(left(&[up, silent], 2, NOW.plus_millis(71_000)), 1, "it is past its deadline");
}

#[test]
fn a_drain_that_was_let_go_of_is_begun_anew() {
    let late = NOW.plus_millis(61_000);
    let back = member(1, true, Some((true, false, 5)));
    assert!(stale(std::slice::from_ref(&back), NOW).is_empty());
    assert_eq!(stale(std::slice::from_ref(&back), late), [1]);
    let goes_on =
        [member(1, true, Some((false, true, 5))), member(2, true, Some((true, false, 0))), member(3, true, None)];
    assert!(stale(&goes_on, late).is_empty());
}

#[test]
fn connections_are_told_in_two_digits() {
    for (connections, told) in [(0, 0), (7, 7), (99, 99), (104, 100), (105, 110), (12_499, 12_000), (999, 1000)] {
        assert_eq!(rounded(connections), told, "{connections}");
    }
}
