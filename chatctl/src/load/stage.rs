//! The stages of a run: prepare the chats, open the sessions, send, drain, close, read history back.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use chat_core::clock::{Clock as _, SystemClock};
use chat_core::id::{ChatId, UserId};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::args::LoadArgs;
use super::book::{Book, Generator, Tolerance};
use super::client::Client;
use super::ledger::{FOREIGN, Ledger};
use super::machine::Machine;
use super::plan::Plan;
use super::report::{IdleReport, Measured, Report};
use super::rest::Rest;
use super::target::Target;
use super::{Board, Run, Shared, pace};

/// REST calls in flight while chats are made and history is read.
const CALLS: usize = 16;

/// Time for the sessions to open, beyond the time their pacing takes.
const OPEN_WITHIN: Duration = Duration::from_mins(1);

/// Time for the sessions to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(15);

/// Between two looks at the books.
const LOOK: Duration = Duration::from_millis(20);

/// From all sessions being open to the first message.
const LEAD: Duration = Duration::from_millis(200);

/// Tokens outlive the run by this.
const TOKEN_RESERVE: Duration = Duration::from_hours(1);

/// Files a process needs beside its sessions.
const OTHER_FILES: u64 = 100;

/// Part of its processors beyond which the generator is taken for the bottleneck.
const BUSY: f64 = 0.95;

/// Runs a load and prints what it found.
pub(super) async fn load(args: &LoadArgs) -> anyhow::Result<ExitCode> {
    let report = run_load(args).await?;
    report.print(args.json)?;
    Ok(report.exit_code())
}

/// Runs a load.
pub(super) async fn run_load(args: &LoadArgs) -> anyhow::Result<Report> {
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot listen to signals")?;
    let schedule = args.schedule()?;
    let target = target(args).await?;
    let rest = Rest::new(target.clone());
    let now = SystemClock.now();
    let mut plan = Plan::new(args.users, args.groups, schedule, args.seed, now, rand::random())?;
    prepare(&rest, &mut plan).await?;
    let shared = share(args, plan, target, rest);
    let run = &shared.run;
    let capacity = run.plan.sends_a_user();
    let (sessions, senders, connects_per_s) = open(args, &shared, &capacity).await?;

    let start = Instant::now() + LEAD;
    let wall = SystemClock.now().plus_millis(u64::try_from(LEAD.as_millis()).unwrap_or_default());
    ensure!(run.start.set((start, wall)).is_ok(), "the window was opened twice");
    let pacer = pace::start(Arc::clone(run), Arc::clone(&shared.board), start, senders.clone())?;
    let window = watch_window(args, &shared, start, &mut interrupts).await?;
    // Until all are given out, that none is open says nothing: on a busy machine the last one leaves after the window.
    let given_out = tokio::task::spawn_blocking(move || pacer.join()).await?;
    let given_out = given_out.map_err(|_| anyhow::anyhow!("the pacing thread panicked"))?;
    let drained = tokio::select! {
        drained = drain(args, &shared) => drained,
        _ = interrupts.recv() => bail!("interrupted before all members had all messages: nothing can be said"),
    };
    drop(senders);
    close(sessions).await;
    read_back(&shared).await?;

    let shared = Arc::into_inner(shared).context("a session outlived the run")?;
    let book = shared.book.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let generator = generator(&book, given_out, window.cpu);
    let tolerance = Tolerance { late_fraction: args.late_fraction, cpu: BUSY };
    let measured = Measured {
        sessions: args.users,
        connects_per_s,
        deliveries_per_s: window.deliveries_per_s,
        drain_s: drained.as_secs_f64(),
        generator,
        void_reason: generator.void(tolerance),
    };
    Ok(Report::new(book, measured))
}

/// Opens sessions and holds them.
pub(super) async fn idle(args: &LoadArgs) -> anyhow::Result<ExitCode> {
    let target = target(args).await?;
    let rest = Rest::new(target.clone());
    let shared = share(args, Plan::idle(args.users)?, target, rest);
    let (sessions, senders, connects_per_s) = open(args, &shared, &vec![0; args.users]).await?;
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot listen to signals")?;
    let end = Instant::now() + args.duration();
    let bar = bar(args.duration(), "holding");
    while Instant::now() < end && !is_interrupted(&mut interrupts, end).await {
        bar.set_position(elapsed_ms(args.duration(), end));
    }
    bar.finish_and_clear();
    let report = {
        let book = shared.book();
        IdleReport {
            sessions: args.users,
            connects_per_s,
            connect_ms: book.connect.percentiles(),
            disconnects: book.lost.clone(),
            stopped: book.stopped.clone(),
        }
    };
    drop(senders);
    close(sessions).await;
    report.print(args.json)?;
    Ok(report.exit_code())
}

async fn target(args: &LoadArgs) -> anyhow::Result<Target> {
    let needed = u64::try_from(args.users).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        let users = args.users;
        ensure!(needed <= limit, "{users} sessions need {needed} open files, the limit is {limit}: raise it");
    }
    let lifetime = args.duration() + args.drain() + OPEN_WITHIN + TOKEN_RESERVE;
    Target::resolve(&args.url, args.signer()?, lifetime).await
}

fn share(args: &LoadArgs, plan: Plan, target: Target, rest: Rest) -> Arc<Shared> {
    let chats = plan.chats.iter().map(|chat| (chat.base, chat.members.len()));
    let ledger = Ledger::new(chats, (0..plan.total).map(|message| plan.assignment(message).chat));
    let run =
        Arc::new(Run { plan, scan: args.scan, transport: args.transport, cut: args.cut(), start: OnceLock::new() });
    let book = Mutex::new(Book::new(ledger, args.allowed_late()));
    Arc::new(Shared { run, target, rest, board: Arc::new(Board::default()), book })
}

/// Makes the groups, and learns where each chat stands.
async fn prepare(rest: &Rest, plan: &mut Plan) -> anyhow::Result<()> {
    let users = &plan.users;
    let calls = plan.chats.iter().enumerate().map(|(n, chat)| async move {
        let members: Vec<&UserId> = chat.members.iter().map(|&member| &users[member as usize]).collect();
        let (creator, others) = members.split_first().context("a chat without members")?;
        if chat.id.is_direct() {
            return Ok::<_, anyhow::Error>(rest.head(creator, chat.id).await?.map_or(0, |head| head.head_seq));
        }
        Ok(rest.create_group(creator, chat.id, others, &format!("load {}", n + 1)).await?.head_seq)
    });
    let bar = bar_of(plan.chats.len(), "chats");
    let heads: Vec<_> = stream::iter(calls).buffered(CALLS).inspect(|_| bar.inc(1)).try_collect().await?;
    bar.finish_and_clear();
    for (chat, head) in plan.chats.iter_mut().zip(heads) {
        chat.base = head;
    }
    Ok(())
}

type Opened = (JoinSet<()>, Vec<mpsc::Sender<u32>>, f64);

/// Opens a session for each user, and waits until all are synced.
async fn open(args: &LoadArgs, shared: &Arc<Shared>, capacity: &[usize]) -> anyhow::Result<Opened> {
    let begun = Instant::now();
    let mut chats_of = vec![Vec::new(); args.users];
    for (chat, planned) in (0..).zip(&shared.run.plan.chats) {
        planned.members.iter().for_each(|&member| chats_of[member as usize].push(chat));
    }
    let mut sessions = JoinSet::new();
    let mut senders = Vec::with_capacity(args.users);
    for ((user, chats), sends) in (0..).zip(&chats_of).zip(capacity) {
        // Room for all of its messages: the pacer never waits for a session, as the loop is open.
        let (sender, orders) = mpsc::channel(sends + 1);
        senders.push(sender);
        let machine = Machine::new(Arc::clone(&shared.run), user, chats, begun);
        let client = Client::new(Arc::clone(shared), user, machine, orders);
        sessions.spawn(client.run(begun + args.opens_after(user)));
    }
    let give_up = begun + args.opens_after(u32::try_from(args.users)?) + OPEN_WITHIN;
    let bar = bar_of(args.users, "sessions");
    loop {
        let ready = shared.board.ready.load(Ordering::Relaxed);
        bar.set_position(ready as u64);
        if ready >= args.users {
            break;
        }
        {
            let book = shared.book();
            let reasons = || book.stopped.iter().chain(&book.lost).map(|(reason, n)| format!("{reason} ({n} times)"));
            let first = || reasons().next().unwrap_or_else(|| "no answer".to_owned());
            ensure!(book.stopped.is_empty(), "the server refused a session: {}", first());
            ensure!(Instant::now() < give_up, "only {ready} of {} sessions could be opened: {}", args.users, first());
        }
        sleep(LOOK).await;
    }
    bar.finish_and_clear();
    Ok((sessions, senders, args.users as f64 / begun.elapsed().as_secs_f64()))
}

struct Window {
    deliveries_per_s: f64,
    /// Processor time used, as a part of what there is.
    cpu: f64,
}

/// Waits a moment, at most until `end`; returns whether somebody wants the end now.
async fn is_interrupted(interrupts: &mut Signal, end: Instant) -> bool {
    let moment = sleep_until(end.min(Instant::now() + Duration::from_millis(200)));
    tokio::select! {
        () = moment => false,
        _ = interrupts.recv() => true,
    }
}

/// Waits until the last message is due, or somebody wants the end now: then no more are given out.
async fn watch_window(
    args: &LoadArgs,
    shared: &Shared,
    start: Instant,
    interrupts: &mut Signal,
) -> anyhow::Result<Window> {
    sleep_until(start).await;
    let (end, cpu_before) = (start + args.duration(), cpu_time());
    let frames_before = shared.board.frames.load(Ordering::Relaxed);
    let bar = bar(args.duration(), "");
    while Instant::now() < end {
        if is_interrupted(interrupts, end).await {
            shared.board.end();
            break;
        }
        if !bar.is_hidden() {
            let frames = shared.board.frames.load(Ordering::Relaxed) - frames_before;
            let rate = frames as f64 / start.elapsed().as_secs_f64();
            bar.set_message(format!("{} acked, {rate:.0} deliveries/s", shared.book().ledger.acked()));
            bar.set_position(elapsed_ms(args.duration(), end));
        }
    }
    bar.finish_and_clear();
    let frames = shared.board.frames.load(Ordering::Relaxed) - frames_before;
    let took = start.elapsed().as_secs_f64();
    let processors = std::thread::available_parallelism()?.get() as f64;
    let cpu = cpu_time().saturating_sub(cpu_before).as_secs_f64() / took / processors;
    Ok(Window { deliveries_per_s: frames as f64 / took, cpu })
}

/// Waits until every message given out came to its end and every member has what any has; returns how long it took.
async fn drain(args: &LoadArgs, shared: &Shared) -> Duration {
    let begun = Instant::now();
    let spinner = ProgressBar::new_spinner().with_message("waiting until all members have all messages");
    while begun.elapsed() < args.drain() {
        let given_out = AtomicU64::load(&shared.board.open, Ordering::Relaxed) == 0;
        if given_out && shared.book().ledger.is_level() {
            break;
        }
        spinner.tick();
        sleep(LOOK).await;
    }
    spinner.finish_and_clear();
    begun.elapsed()
}

/// Waits for the sessions to close; they do once their senders are gone.
async fn close(mut sessions: JoinSet<()>) {
    let all = async { while sessions.join_next().await.is_some() {} };
    if timeout(CLOSE_WITHIN, all).await.is_err() {
        sessions.shutdown().await;
    }
}

/// Reads the whole history of each chat, as one of its members, into the ledger.
async fn read_back(shared: &Shared) -> anyhow::Result<()> {
    let plan = &shared.run.plan;
    let bar = bar_of(plan.chats.len(), "histories");
    let reads = (0..).zip(&plan.chats).map(|(n, chat)| {
        let reader = chat.members[n as usize % chat.members.len()];
        read_chat(shared, n, chat.id, &plan.users[reader as usize], chat.base)
    });
    let read = stream::iter(reads).buffer_unordered(CALLS).inspect(|_| bar.inc(1));
    read.try_collect::<Vec<()>>().await.context("history could not be read back")?;
    bar.finish_and_clear();
    Ok(())
}

async fn read_chat(shared: &Shared, chat: u32, id: ChatId, reader: &UserId, base: u64) -> anyhow::Result<()> {
    let plan = &shared.run.plan;
    let mut after = base;
    loop {
        let page = shared.rest.history(reader, id, after).await?;
        let mut book = shared.book();
        for item in &page.items {
            let message = plan.index_of(item.message_id);
            let as_sent = message.is_none_or(|message| plan.content_is(message, &item.content));
            book.ledger.history(chat, item.seq, message.unwrap_or(FOREIGN), as_sent);
        }
        match page.items.last() {
            Some(last) if page.has_more && last.seq > after => after = last.seq,
            _ => return Ok(()),
        }
    }
}

fn generator(book: &Book, total: u32, cpu: f64) -> Generator {
    let sent = book.late.len();
    Generator {
        unsent: u64::from(total).saturating_sub(sent),
        late_fraction: if sent == 0 { 0.0 } else { book.too_late as f64 / sent as f64 },
        late_p99_ms: book.late.percentiles().p99,
        cpu,
    }
}

fn cpu_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.try_into().unwrap_or_default(), used.tv_nsec.try_into().unwrap_or_default())
}

/// Makes a bar over a span of time; like all of them it goes to standard error, and only to a terminal.
fn bar(span: Duration, message: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)).with_message(message);
    styled(bar, "{wide_bar} {percent}% {msg}")
}

fn bar_of(count: usize, what: &'static str) -> ProgressBar {
    styled(ProgressBar::new(count as u64).with_message(what), "{wide_bar} {pos}/{len} {msg}")
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn elapsed_ms(span: Duration, end: Instant) -> u64 {
    let left = end.saturating_duration_since(Instant::now());
    u64::try_from(span.saturating_sub(left).as_millis()).unwrap_or(u64::MAX)
}
