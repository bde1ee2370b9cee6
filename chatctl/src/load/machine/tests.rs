use std::sync::OnceLock;

use chat_core::clock::Time;
use chat_core::frame::Request;

use super::*;
use crate::load::plan::{Plan, Schedule};
use crate::load::wire::Scan;

const WALL: u64 = 1_795_000_000_000;

/// One of two users in a pair, the window just begun.
struct Bench {
    machine: Machine,
    run: Arc<Run>,
    chat: ChatId,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let schedule = Schedule { total: 1000, rate: 1000.0, size: 10 };
        let plan = Plan::new(2, None, schedule, 1, Time::from_millis(WALL), 5).unwrap();
        let start = OnceLock::from((now, Time::from_millis(WALL)));
        let run = Arc::new(Run { plan, scan: Scan::Full, transport: Transport::Ws, cut: None, start });
        let chat = run.plan.chats[0].id;
        let mut machine = Machine::new(Arc::clone(&run), run.plan.chats[0].members[0], &[0], now);
        machine.open(now);
        Self { machine, run, chat, now }
    }

    fn synced() -> Self {
        let mut bench = Self::new();
        bench.hello();
        bench.end_sync();
        bench
    }

    fn receive(&mut self, text: &str) {
        self.machine.receive(text, self.now).unwrap();
    }

    fn hello(&mut self) {
        self.receive(
            r#"{"type":"hello","d":{"user":"load-0001","session":"s","server":"1","epoch":"e","heartbeat_ms":20000,
            "server_time":"2026-11-24T02:19:00.123Z","token_expires_at":"2026-11-24T02:19:00.123Z",
            "max_frame_bytes":65536,"max_content_bytes":16384}}"#,
        );
    }

    /// Takes the frames to write, as the server decodes them.
    fn written(&mut self) -> Vec<(u64, Request)> {
        let frames = std::mem::take(&mut self.machine.out);
        let decode = |text: &String| {
            let frame = chat_core::frame::decode(text).unwrap();
            (frame.id.unwrap(), frame.request)
        };
        frames.iter().map(decode).collect()
    }

    /// Answers the `sync` that is to be written; returns what it named.
    fn end_sync(&mut self) -> Vec<Seq> {
        let (id, Request::Sync(sync)) = self.written().pop().unwrap() else { panic!("no sync") };
        self.receive(&format!(
            r#"{{"id":{id},"type":"ack","d":{{"recovered":true,"more":[],"reload":[],"gone":[],"unlisted":[],
            "server_time":"2026-11-24T02:19:00.123Z"}}}}"#
        ));
        sync.have.values().map(|have| have.seq()).collect()
    }

    fn message(&mut self, seq: Seq, message: u32) {
        let plan = &self.run.plan;
        let text = format!(
            r#"{{"type":"message","d":{{"chat_id":"{}","seq":{seq},"message_id":"{}","sender":"{}","content":"{}"}}}}"#,
            self.chat,
            self.run.message_id(message).unwrap(),
            plan.users[plan.assignment(message).sender as usize],
            plan.content(message),
        );
        self.receive(&text);
    }

    fn ack(&mut self, id: u64) {
        self.receive(&format!(r#"{{"id":{id},"type":"ack","d":{{}}}}"#));
    }

    fn sent_ids(&mut self) -> Vec<chat_core::id::MessageId> {
        let id = |(_, request)| if let Request::Send(send) = request { send.message_id } else { None };
        self.written().into_iter().filter_map(id).collect()
    }

    fn sends(&mut self) -> Vec<u64> {
        self.written()
            .into_iter()
            .filter(|(_, request)| matches!(request, Request::Send(_)))
            .map(|(id, _)| id)
            .collect()
    }
}

#[test]
fn nothing_is_sent_before_the_sync_is_over() {
    let mut bench = Bench::new();
    bench.machine.order(0, bench.now);
    assert!(bench.written().is_empty());
    bench.hello();
    bench.machine.order(2, bench.now);
    assert_eq!(bench.end_sync(), [0; 0]);
    assert_eq!(bench.sends(), [0, 2]);
}

#[test]
fn a_send_is_over_when_it_is_acknowledged_and_seen() {
    let mut bench = Bench::synced();
    bench.machine.order(0, bench.now);
    bench.ack(0);
    assert_eq!(bench.machine.settled, 0);
    bench.message(1, 0);
    assert_eq!(bench.machine.settled, 1);
    assert!(bench.machine.notes.contains(&Note::Ledger(Event::Acked { message: 0 })));
    bench.machine.order(2, bench.now);
    bench.message(2, 2);
    assert_eq!(bench.machine.settled, 1);
    bench.ack(2);
    assert_eq!(bench.machine.settled, 2);
}

#[test]
fn a_direct_chat_begins_by_the_peer_s_name() {
    let mut bench = Bench::synced();
    bench.machine.order(0, bench.now);
    let [(_, Request::Send(first))] = &bench.written()[..] else { panic!("no send") };
    assert_eq!(first.to.as_ref(), Some(&bench.run.plan.users[bench.run.plan.chats[0].members[1] as usize]));
    bench.message(1, 0);
    bench.machine.order(2, bench.now);
    let [(_, Request::Send(second))] = &bench.written()[..] else { panic!("no send") };
    assert_eq!((second.chat_id, &second.to), (Some(bench.chat), &None));
}

#[test]
fn after_a_cut_the_unseen_is_sent_again_under_the_same_id() {
    let mut bench = Bench::synced();
    for message in [0, 2, 4] {
        bench.machine.order(message, bench.now);
    }
    let before = bench.sent_ids();
    bench.ack(0);
    bench.message(1, 2);
    bench.machine.lose(bench.now);
    assert_eq!(bench.machine.settled, 1, "a message that was seen needs no ack");
    bench.machine.open(bench.now);
    bench.hello();
    assert_eq!(bench.end_sync(), [1]);
    assert_eq!(bench.sent_ids(), [before[0], before[2]]);
    assert!(bench.machine.notes.iter().any(|note| matches!(note, Note::Back(_))));
}

#[test]
fn orders_between_two_connections_wait_for_the_sync() {
    let mut bench = Bench::synced();
    bench.machine.lose(bench.now);
    bench.machine.order(0, bench.now);
    bench.machine.open(bench.now);
    bench.machine.order(2, bench.now);
    bench.hello();
    assert!(matches!(bench.machine.out[..], [_]), "the sync alone: {:?}", bench.machine.out);
    bench.end_sync();
    assert_eq!(bench.sends(), [0, 2]);
}

#[test]
fn a_gap_asks_for_that_chat_once() {
    let mut bench = Bench::synced();
    bench.message(1, 0);
    bench.message(3, 4);
    bench.message(4, 6);
    let frames = bench.written();
    assert_eq!(frames.len(), 1);
    let (id, Request::Sync(sync)) = &frames[0] else { panic!("no sync") };
    assert_eq!(sync.have[&bench.chat].seq(), 1);
    for (seq, message) in [(2, 2), (3, 4), (4, 6)] {
        bench.message(seq, message);
    }
    bench.receive(&format!(
        r#"{{"id":{id},"type":"ack","d":{{"recovered":true,"more":[],"reload":[],"gone":[],"unlisted":[],
        "server_time":"2026-11-24T02:19:00.123Z"}}}}"#
    ));
    assert!(bench.written().is_empty());
}

#[test]
fn more_is_asked_for_and_a_reload_is_handed_out() {
    let mut bench = Bench::new();
    bench.hello();
    let (id, _) = bench.written().pop().unwrap();
    let chat = bench.chat;
    let done = |id: u64, more: &str, reload: &str| {
        format!(
            r#"{{"id":{id},"type":"ack","d":{{"recovered":true,"more":[{more}],"reload":[{reload}],"gone":[],"unlisted":[],
            "server_time":"2026-11-24T02:19:00.123Z"}}}}"#
        )
    };
    bench.receive(&done(id, &format!(r#"{{"chat_id":"{chat}","from":1,"to":900}}"#), ""));
    let (id, Request::Sync(_)) = bench.written().pop().unwrap() else { panic!("no sync") };
    bench.receive(&done(id, "", &format!("\"{chat}\"")));
    assert_eq!(bench.machine.take_reload(), [(0, chat, 0)]);
    assert!(bench.written().is_empty());
}

#[test]
fn a_temporary_refusal_holds_all_sends_and_a_final_one_ends_its_own() {
    let mut bench = Bench::synced();
    bench.machine.order(0, bench.now);
    bench.written();
    bench.receive(
        r#"{"id":0,"type":"error","d":{"code":"rate_limited","message":"m","temporary":true,"retry_after_ms":100}}"#,
    );
    bench.machine.order(2, bench.now);
    assert!(bench.sends().is_empty());
    bench.now += Duration::from_millis(151);
    assert_eq!(bench.machine.tick(bench.now), Tick::Continue);
    assert_eq!(bench.sends(), [0, 2]);
    bench.receive(r#"{"id":0,"type":"error","d":{"code":"blocked","message":"m","temporary":false}}"#);
    assert_eq!(bench.machine.settled, 1);
}

#[test]
fn unanswered_sends_are_bounded() {
    let mut bench = Bench::synced();
    for message in 0..100 {
        bench.machine.order(message * 2, bench.now);
    }
    assert_eq!(bench.sends().len(), 32);
    bench.ack(0);
    assert_eq!(bench.sends(), [64]);
}

#[test]
fn silence_after_a_ping_is_the_end_and_any_frame_is_a_sign_of_life() {
    let mut bench = Bench::synced();
    bench.now += Duration::from_secs(20);
    assert_eq!(bench.machine.tick(bench.now), Tick::Continue);
    assert!(matches!(bench.written()[..], [(_, Request::Ping(_))]));
    bench.message(1, 0);
    bench.now += Duration::from_secs(11);
    assert_eq!(bench.machine.tick(bench.now), Tick::Continue);
    bench.now += Duration::from_secs(20);
    bench.machine.tick(bench.now);
    bench.now += Duration::from_secs(11);
    assert_eq!(bench.machine.tick(bench.now), Tick::Dead);
}

#[test]
fn a_server_that_never_greets_is_left() {
    let mut bench = Bench::new();
    bench.now += Duration::from_secs(10);
    assert_eq!(bench.machine.tick(bench.now), Tick::Dead);
}

#[test]
fn a_drain_moves_the_session_when_the_server_said() {
    let mut bench = Bench::synced();
    bench.receive(r#"{"type":"reconnect","d":{"after_ms":500,"reason":"drain"}}"#);
    assert!(bench.machine.deadline() <= bench.now + Duration::from_millis(500));
    bench.now += Duration::from_millis(500);
    assert_eq!(bench.machine.tick(bench.now), Tick::Move);
}

#[test]
fn lateness_counts_only_while_the_way_was_free() {
    let mut bench = Bench::new();
    bench.now += Duration::from_secs(5);
    bench.machine.order(0, bench.now);
    bench.hello();
    bench.end_sync();
    assert!(bench.machine.notes.contains(&Note::Sent { late: Duration::ZERO }));
    bench.now += Duration::from_millis(30);
    bench.machine.order(4998, bench.now);
    assert!(bench.machine.notes.contains(&Note::Sent { late: Duration::from_millis(30) }));
}

#[test]
fn other_content_and_the_message_of_another_chat_are_told() {
    let mut bench = Bench::synced();
    let (chat, id) = (bench.chat, bench.run.message_id(0).unwrap());
    let text = |chat: &str| {
        format!(
            r#"{{"type":"message","d":{{"chat_id":"{chat}","seq":1,"message_id":"{id}","sender":"load-0001","content":"x"}}}}"#
        )
    };
    bench.receive(&text(&chat.to_string()));
    bench.receive(&text("01956f30-0000-7000-8000-000000000001"));
    let seat = bench.machine.places[0].seat;
    assert!(bench.machine.notes.contains(&Note::Ledger(Event::Contradicted { seat, seq: 1, message: 0 })));
    assert!(bench.machine.notes.contains(&Note::Ledger(Event::Leaked { message: 0 })));
}
