//! Random histories of one group, through the real gateway, sequencer and workers on embedded engines: who comes,
//! goes, writes, changes, reads, is erased, while messages age out. Beside it a model that knows nothing of cursors
//! and indices: it keeps every message and recounts.
//!
//! `HISTORIES=500 cargo test -p chat-gateway --test gateway histories` runs longer; `HISTORY_SEED` gives other ones.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use chat_core::clock::{Clock, ManualClock};
use chat_core::config::Rate;
use chat_gateway::Running;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};

use crate::harness::*;

const AGE: Duration = Duration::from_hours(1);
const AGE_MS: u64 = 3_600_000;
const USERS: usize = 4;
const WORDS: [&str; 4] = ["red", "blue", "car", "boat"];

/// How long a cursor or a document may take to show.
const SOON: Duration = Duration::from_secs(8);

/// What happens next. Choices among many are numbers, taken modulo how many there are then.
#[derive(Debug, Clone)]
enum Step {
    Join(usize),
    Leave(usize),
    Remove(usize),
    Send(usize, [usize; 2]),
    Edit(usize, usize, [usize; 2]),
    Delete(usize, usize),
    Read(usize, u64),
    Deliver(usize, u64),
    Age,
    Erase(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let user = || 0..USERS;
    let words = || [0..WORDS.len(), 0..WORDS.len()];
    let step = prop_oneof![
        4 => user().prop_map(Step::Join),
        2 => user().prop_map(Step::Leave),
        1 => user().prop_map(Step::Remove),
        10 => (user(), words()).prop_map(|(user, words)| Step::Send(user, words)),
        3 => (user(), 0..16_usize, words()).prop_map(|(user, pick, words)| Step::Edit(user, pick, words)),
        2 => (user(), 0..16_usize).prop_map(|(user, pick)| Step::Delete(user, pick)),
        3 => (user(), 0..16_u64).prop_map(|(user, part)| Step::Read(user, part)),
        2 => (user(), 0..16_u64).prop_map(|(user, part)| Step::Deliver(user, part)),
        2 => Just(Step::Age),
        1 => user().prop_map(Step::Erase),
    ];
    prop::collection::vec(step, 1..40)
}

#[derive(Debug)]
struct Said {
    seq: u64,
    sender: usize,
    /// `None`: a SYSTEM message.
    content: Option<String>,
    at: u64,
    is_deleted: bool,
}

#[derive(Debug, Default, Clone)]
struct Member {
    /// Came in last with the message after this one.
    join: u64,
    /// Left last with this one.
    left: Option<u64>,
    was_in: bool,
    is_in: bool,
    is_erased: bool,
    delivered: u64,
    read: u64,
}

/// Everything that happened.
#[derive(Debug, Default)]
struct Model {
    said: Vec<Said>,
    members: Vec<Member>,
    now: u64,
}

impl Model {
    fn head(&self) -> u64 {
        self.said.len() as u64
    }

    fn say(&mut self, sender: usize, content: Option<String>) -> u64 {
        let seq = self.head() + 1;
        self.said.push(Said { seq, sender, content, at: self.now, is_deleted: false });
        let own = &mut self.members[sender];
        (own.delivered, own.read) = (own.delivered.max(seq), own.read.max(seq));
        seq
    }

    fn is_kept(&self, said: &Said) -> bool {
        said.at + AGE_MS >= self.now
    }

    fn sees(&self, user: usize, said: &Said) -> bool {
        let member = &self.members[user];
        let upto = if member.is_in { u64::MAX } else { member.left.unwrap_or(0) };
        member.was_in && member.join < said.seq && said.seq <= upto && self.is_kept(said)
    }

    fn seen_by(&self, user: usize) -> impl Iterator<Item = &Said> {
        self.said.iter().filter(move |said| self.sees(user, said))
    }

    fn unread(&self, user: usize) -> u64 {
        self.seen_by(user).filter(|said| said.seq > self.members[user].read).count() as u64
    }

    /// Those who count for a message: present, not its sender, and it is theirs to see.
    fn audience(&self, said: &Said) -> impl Iterator<Item = (usize, &Member)> {
        let (seq, sender) = (said.seq, said.sender);
        let members = self.members.iter().enumerate();
        members.filter(move |(user, member)| *user != sender && member.is_in && member.join < seq)
    }

    /// The messages that a user may change: one's own, or with `all` anybody's.
    fn changeable(&self, user: usize, all: bool) -> Vec<u64> {
        let own = self.seen_by(user).filter(|said| said.content.is_some() && !said.is_deleted);
        own.filter(|said| all || said.sender == user).map(|said| said.seq).collect()
    }

    fn found(&self, user: usize, words: &[&str]) -> BTreeSet<u64> {
        let has_all = |content: &String| words.iter().all(|word| content.split(' ').any(|one| one == *word));
        let found = self.seen_by(user).filter(|said| !said.is_deleted && said.content.as_ref().is_some_and(has_all));
        found.map(|said| said.seq).collect()
    }
}

/// The stack that all histories of a test run on, one after the other, each with users and a group of its own.
struct World {
    _stack: Stack,
    gateway: Running,
    clock: ManualClock,
}

impl World {
    async fn begin() -> Self {
        let (mut stack, clock) = Stack::aging(AGE);
        stack.start_workers().await;
        let fast = Rate::new(100_000, 100_000);
        let gateway = stack.gateway("gw-0", |config| {
            (config.limits.sends_per_user, config.limits.sends_per_chat) = (fast, fast);
        });
        Self { gateway: gateway.await, _stack: stack, clock }
    }
}

struct History<'a> {
    world: &'a World,
    names: Vec<String>,
    chat_id: String,
    model: Model,
    /// Cursors were told and may not be written yet.
    is_told: bool,
}

impl<'a> History<'a> {
    async fn begin(world: &'a World, number: u64) -> Self {
        let names: Vec<String> = (0..USERS).map(|user| format!("h{number}-{user}")).collect();
        let chat_id = group(&world.gateway, &names[0], &[&names[1]]).await;
        let members = vec![Member::default(); USERS];
        let mut model = Model { said: Vec::new(), members, now: world.clock.now().millis() };
        for user in [0, 1] {
            (model.members[user].was_in, model.members[user].is_in) = (true, true);
        }
        model.say(0, None);
        Self { world, names, chat_id, model, is_told: false }
    }

    async fn ask(&self, user: usize, method: &str, path: &str, body: Option<Value>) -> Answer {
        let path = format!("/v1/chats/{}{path}", self.chat_id);
        call(&self.world.gateway, &self.names[user], method, &path, body).await
    }

    /// Asks, and goes on only if it was done.
    async fn must(&self, user: usize, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.ask(user, method, path, body).await;
        assert!((200..300).contains(&answer.status), "{method} {path} of {}: {answer:?}", self.names[user]);
        answer.body
    }

    fn present(&self) -> Vec<usize> {
        (0..USERS).filter(|user| self.model.members[*user].is_in).collect()
    }

    /// Returns an ADMIN, as the chat shows it.
    async fn admin(&self) -> Option<usize> {
        let chat = self.must(*self.present().first()?, "GET", "", None).await;
        let members = chat["members"].as_array().unwrap();
        let admin = members.iter().find(|member| member["role"] == "ADMIN").unwrap();
        self.names.iter().position(|name| admin["user"] == name.as_str())
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Join(user) => self.join(user).await,
            Step::Leave(user) => self.leave(user, user).await,
            Step::Remove(user) => {
                if let Some(admin) = self.admin().await {
                    self.leave(user, admin).await;
                }
            }
            Step::Send(user, words) if self.model.members[user].is_in => {
                let content = words.map(|word| WORDS[word]).join(" ");
                let sent = self.must(user, "POST", "/messages", Some(json!({"content": content}))).await;
                assert_eq!(sent["seq"], self.model.say(user, Some(content)));
            }
            Step::Edit(user, pick, words) if self.model.members[user].is_in => {
                if let Some(seq) = choose(&self.model.changeable(user, false), pick) {
                    let content = words.map(|word| WORDS[word]).join(" ");
                    self.must(user, "PATCH", &format!("/messages/{seq}"), Some(json!({"content": content}))).await;
                    self.said(seq).content = Some(content);
                }
            }
            Step::Delete(user, pick) if self.model.members[user].is_in => {
                let is_admin = self.admin().await == Some(user);
                if let Some(seq) = choose(&self.model.changeable(user, is_admin), pick) {
                    self.must(user, "DELETE", &format!("/messages/{seq}"), None).await;
                    self.said(seq).is_deleted = true;
                }
            }
            Step::Read(user, part) => self.tell(user, "read", part).await,
            Step::Deliver(user, part) => self.tell(user, "delivered", part).await,
            Step::Age => {
                // A bit more than a third, so that no message stands on the line.
                self.world.clock.advance_millis(AGE_MS / 3 + 1_000);
                self.model.now = self.world.clock.now().millis();
            }
            Step::Erase(user) => self.erase(user).await,
            Step::Send(..) | Step::Edit(..) | Step::Delete(..) => {}
        }
    }

    fn said(&mut self, seq: u64) -> &mut Said {
        self.model.said.iter_mut().find(|said| said.seq == seq).unwrap()
    }

    async fn join(&mut self, user: usize) {
        if self.model.members[user].is_in || self.model.members[user].is_erased {
            return;
        }
        let Some(admin) = self.admin().await else { return };
        let path = format!("/members/{}", self.names[user]);
        self.must(admin, "PUT", &path, Some(json!({"role": "MEMBER"}))).await;
        let join = self.model.head();
        let member = &mut self.model.members[user];
        *member = Member { join, left: None, was_in: true, is_in: true, ..member.clone() };
        self.model.say(admin, None);
    }

    async fn leave(&mut self, user: usize, by: usize) {
        if !self.model.members[user].is_in {
            return;
        }
        self.settle().await;
        self.must(by, "DELETE", &format!("/members/{}", self.names[user]), None).await;
        self.left(user, by);
    }

    fn left(&mut self, user: usize, by: usize) {
        let seq = self.model.say(by, None);
        let member = &mut self.model.members[user];
        (member.is_in, member.left) = (false, Some(seq));
    }

    async fn tell(&mut self, user: usize, cursor: &str, part: u64) {
        let seq = self.model.head() * part / 16 + 1;
        if !self.model.members[user].is_in {
            return;
        }
        let frame = json!({"id": 1, "type": "receipt", "d": {"chat_id": self.chat_id, cursor: seq}});
        let answer = call(&self.world.gateway, &self.names[user], "POST", "/v1/frames", Some(frame)).await;
        assert_eq!(answer.body["frames"][0]["type"], "ack", "{answer:?}");
        let member = &mut self.model.members[user];
        member.delivered = member.delivered.max(seq);
        if cursor == "read" {
            member.read = member.read.max(seq);
        }
        self.is_told = true;
    }

    async fn erase(&mut self, user: usize) {
        if self.model.members[user].is_erased {
            return;
        }
        self.settle().await;
        let begun = admin(&self.world.gateway, "DELETE", &format!("/v1/users/{}", self.names[user])).await;
        let path = format!("/v1/reports/{}", begun.body["report_id"].as_str().unwrap());
        let report = eventual(|| async {
            let report = admin(&self.world.gateway, "GET", &path).await.body;
            if report["status"] == "done" { Ok(report) } else { Err(format!("not done: {report}")) }
        });
        let report = report.await.unwrap();
        if self.model.members[user].is_in {
            self.left(user, user);
        }
        self.model.members[user].is_erased = true;
        let now = self.model.now;
        let is_left = |said: &&mut Said| {
            said.sender == user && said.content.is_some() && !said.is_deleted && said.at + AGE_MS >= now
        };
        let emptied = self.model.said.iter_mut().filter(is_left).map(|said| said.is_deleted = true).count();
        assert_eq!(report["messages"], emptied, "{report}");
    }

    /// Waits until the cursors that were told of are written: they travel beside the messages.
    async fn settle(&mut self) {
        if std::mem::take(&mut self.is_told) {
            eventual(|| self.cursors()).await.unwrap();
        }
    }

    async fn cursors(&self) -> Result<(), String> {
        for user in self.present() {
            let (chat, member) = (self.must(user, "GET", "", None).await, &self.model.members[user]);
            let (delivered, read) = (&chat["delivered"], &chat["read"]);
            if (delivered, read) != (&json!(member.delivered), &json!(member.read)) {
                return Err(format!("{}: {delivered}, {read} is not as in {member:?}", self.names[user]));
            }
        }
        Ok(())
    }

    /// Compares what is counted with a recount.
    async fn counts(&self) -> Result<(), String> {
        self.cursors().await?;
        for (user, member) in self.model.members.iter().enumerate().filter(|(_, member)| !member.is_erased) {
            let chat = self.ask(user, "GET", "", None).await;
            let expected = if member.was_in { (200, self.model.unread(user)) } else { (404, 0) };
            let found = (chat.status, chat.body["unread"].as_u64().unwrap_or(0));
            if found != expected {
                return Err(format!("{} has {found:?} unread, not {expected:?}: {chat:?}", self.names[user]));
            }
        }
        for said in &self.model.said {
            let sender = &self.model.members[said.sender];
            if !sender.is_in || !self.model.sees(said.sender, said) {
                continue;
            }
            let page = self.must(said.sender, "GET", &format!("/messages/{}/receipts", said.seq), None).await;
            let count = |has: fn(&Member) -> u64| {
                self.model.audience(said).filter(|(_, member)| has(member) >= said.seq).count()
            };
            let of = self.model.audience(said).count();
            let expected = json!([count(|member| member.delivered), count(|member| member.read), of]);
            let found = json!([page["delivered"], page["read"], page["of"]]);
            if found != expected || page["items"].as_array().unwrap().len() != of {
                return Err(format!("message {}: {found}, not {expected}: {page}", said.seq));
            }
        }
        Ok(())
    }

    /// Searches page by page; returns the seqs that were found, newest first.
    async fn search(&self, user: usize, words: &[&str]) -> Vec<u64> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/search?limit=2&q={}{cursor}", words.join("+"));
            let page = call(&self.world.gateway, &self.names[user], "GET", &path, None).await;
            assert_eq!(page.status, 200, "{page:?}");
            for item in page.body["items"].as_array().unwrap() {
                let (message, seq) = (&item["message"], item["message"]["seq"].as_u64().unwrap());
                assert_eq!(message["chat_id"], self.chat_id.as_str(), "{item}");
                let said = &self.model.said[usize::try_from(seq).unwrap() - 1];
                assert_eq!(message["content"].as_str(), said.content.as_deref(), "{item}");
                found.push(seq);
            }
            let Some(next) = page.body["next_cursor"].as_str() else { return found };
            cursor = format!("&cursor={next}");
        }
    }

    /// Whatever the index knows by now: nobody finds what is not theirs.
    async fn finds_nothing_else(&self, user: usize, words: &[&str]) {
        if self.model.members[user].is_erased {
            return;
        }
        let (found, may) = (self.search(user, words).await, self.model.found(user, words));
        let foreign: Vec<_> = found.iter().filter(|seq| !may.contains(seq)).collect();
        assert!(foreign.is_empty(), "{} finds {foreign:?} by {words:?}, which may be {may:?}", self.names[user]);
    }

    async fn finds_all(&self) -> Result<(), String> {
        for user in (0..USERS).filter(|user| !self.model.members[*user].is_erased) {
            for words in [&["red"][..], &["car"], &["blue", "boat"]] {
                let expected: Vec<u64> = self.model.found(user, words).into_iter().rev().collect();
                let found = self.search(user, words).await;
                if found != expected {
                    return Err(format!("{} finds {found:?} by {words:?}, not {expected:?}", self.names[user]));
                }
            }
        }
        Ok(())
    }
}

fn choose(seqs: &[u64], pick: usize) -> Option<u64> {
    if seqs.is_empty() { None } else { Some(seqs[pick % seqs.len()]) }
}

/// Repeats a look until it is as wanted.
async fn eventual<T, F: Future<Output = Result<T, String>>>(look: impl Fn() -> F) -> Result<T, String> {
    let end = Instant::now() + SOON;
    loop {
        match look().await {
            Err(_) if Instant::now() < end => sleep(Duration::from_millis(20)).await,
            looked => return looked,
        }
    }
}

fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs a property over random histories, and shrinks one that breaks it.
fn over_histories(property: &impl AsyncFn(History<'_>, &[Step]) -> Result<(), String>) {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(World::begin());
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&number("HISTORY_SEED", 1).to_le_bytes());
    let config = Config { cases: number("HISTORIES", 12), failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let begun = std::cell::Cell::new(0);
    let result = runner.run(&steps(), |steps| {
        begun.set(begun.get() + 1);
        let checked = async {
            let history = History::begin(&world, begun.get()).await;
            property(history, &steps).await
        };
        runtime.block_on(checked).map_err(TestCaseError::fail)
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn unread_and_n_of_m_equal_a_recount_after_any_history() {
    over_histories(&async |mut history, steps| {
        for step in steps {
            history.step(step).await;
        }
        eventual(|| history.counts()).await
    });
}

#[test]
fn search_finds_what_one_may_see_and_nothing_else_after_any_history() {
    over_histories(&async |mut history, steps| {
        for (n, step) in steps.iter().enumerate() {
            history.step(step).await;
            history.finds_nothing_else(n % USERS, &[WORDS[n % WORDS.len()]]).await;
        }
        eventual(|| history.finds_all()).await
    });
}
