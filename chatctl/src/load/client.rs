//! One session: connects, reads and writes, and reconnects as protocol v1 asks; what the frames mean is the
//! [`Machine`]'s.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Shared;
use super::book::Note;
use super::connection::{Connection, End, Heard};
use super::machine::{Machine, Tick};

/// Frames taken in a row before anything else; bounds how late a moment is that they share.
const BATCH: usize = 64;

/// A connection that lived this long begins the back-off anew.
const PROVEN_AFTER: Duration = Duration::from_secs(30);

/// First and longest back-off (protocol v1, section 1).
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// One session.
pub(super) struct Client {
    shared: Arc<Shared>,
    user: u32,
    machine: Machine,
    orders: mpsc::Receiver<u32>,
    /// The connection that is being moved away from.
    old: Option<Connection>,
    was_cut: bool,
    was_ready: bool,
}

impl Client {
    /// Makes the session of `user`; it lives until `orders` is closed.
    pub(super) fn new(shared: Arc<Shared>, user: u32, machine: Machine, orders: mpsc::Receiver<u32>) -> Self {
        Self { shared, user, machine, orders, old: None, was_cut: false, was_ready: false }
    }

    /// Lives the session; begins at `start`.
    pub(super) async fn run(mut self, start: Instant) {
        let mut attempts = 0_u32;
        let mut wait_until = start;
        while self.wait(wait_until).await {
            let begun = Instant::now();
            let end = match Connection::open(&self.shared, self.user).await {
                Ok(connection) => self.serve(connection, begun).await,
                Err(end) => end,
            };
            let now = Instant::now();
            if self.machine.greeted_at().is_some_and(|at| now - at >= PROVEN_AFTER) {
                attempts = 0;
            }
            self.machine.lose(now);
            wait_until = match end {
                End::Finished => break,
                End::Stop(reason) => {
                    self.machine.notes.push(Note::Stopped(reason));
                    break;
                }
                End::Broken { reason, floor } => {
                    self.old = None;
                    self.machine.notes.push(Note::Lost(reason));
                    let longest = (BACK_OFF.0 * 2_u32.saturating_pow(attempts)).min(BACK_OFF.1);
                    attempts += 1;
                    now + floor + longest.mul_f64(rand::random_range(0.0..1.0))
                }
                End::Move => {
                    self.machine.notes.push(Note::Lost("moved".to_owned()));
                    now
                }
            };
            self.publish();
        }
        while let Ok(index) = self.orders.try_recv() {
            self.machine.order(index, start);
        }
        self.machine.abandon();
        self.publish();
    }

    /// Waits, taking orders meanwhile; false once the run is over.
    async fn wait(&mut self, until: Instant) -> bool {
        let sleep = sleep_until(until);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                biased;
                () = &mut sleep => return true,
                order = self.orders.recv() => match order {
                    Some(index) => self.machine.order(index, Instant::now()),
                    None => return false,
                },
            }
        }
    }

    async fn serve(&mut self, mut connection: Connection, begun: Instant) -> End {
        self.machine.open(Instant::now());
        let timer = sleep_until(self.machine.deadline());
        tokio::pin!(timer);
        loop {
            if let Err(end) = self.step(&mut connection, timer.as_mut()).await {
                match end {
                    End::Move => self.old = Some(connection),
                    End::Finished => connection.close().await,
                    _ => {}
                }
                return end;
            }
            if !self.was_ready && self.machine.is_synced() {
                self.was_ready = true;
                self.machine.notes.push(Note::Connected(Instant::now() - begun));
                self.shared.board.ready();
            }
            if self.machine.is_synced()
                && let Some(old) = self.old.take()
            {
                old.close().await;
            }
        }
    }

    /// Writes what is to be written, waits for something to happen, and takes it.
    async fn step(&mut self, connection: &mut Connection, mut timer: std::pin::Pin<&mut Sleep>) -> Result<(), End> {
        self.write(connection).await?;
        self.publish();
        let cut_at = self.shared.run.cut_at().filter(|_| !self.was_cut);
        if cut_at.is_some_and(|at| at <= Instant::now()) {
            self.was_cut = true;
            return Err(End::broken("cut"));
        }
        let deadline = cut_at.into_iter().fold(self.machine.deadline(), Instant::min);
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        tokio::select! {
            biased;
            heard = connection.next() => self.take(heard, connection)?,
            order = self.orders.recv() => {
                let now = Instant::now();
                self.machine.order(order.ok_or(End::Finished)?, now);
                while let Ok(index) = self.orders.try_recv() {
                    self.machine.order(index, now);
                }
            }
            () = timer => match self.machine.tick(Instant::now()) {
                Tick::Continue => {}
                Tick::Dead => return Err(End::broken("silent for too long")),
                Tick::Move => return Err(End::Move),
            },
        }
        let reload = self.machine.take_reload();
        if !reload.is_empty() {
            self.reload(reload).await.map_err(|error| End::broken(format!("history: {error:.80}")))?;
        }
        Ok(())
    }

    /// Takes what came, and what is there already.
    fn take(&mut self, mut heard: Result<Heard, End>, connection: &mut Connection) -> Result<(), End> {
        let now = Instant::now();
        for taken in 1.. {
            match heard? {
                Heard::Frame(text) => {
                    self.machine.receive(&text, now).map_err(|error| End::broken(format!("{error:.80}")))?;
                }
                Heard::Resumed(reason) => self.machine.notes.push(Note::Lost(reason)),
                Heard::Nothing => {}
            }
            // Whatever leaves the connection here is handled: the bound is looked at before the next one is taken.
            if taken == BATCH {
                break;
            }
            match connection.next().now_or_never() {
                Some(next) => heard = next,
                None => break,
            }
        }
        Ok(())
    }

    async fn write(&mut self, connection: &mut Connection) -> Result<(), End> {
        if self.machine.out.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        connection.write(std::mem::take(&mut self.machine.out)).await?;
        let now = Instant::now();
        if now - begun > Duration::from_millis(1) {
            self.machine.unblock(now);
        }
        Ok(())
    }

    /// Reads the history of chats whose continuity the server could not prove.
    async fn reload(&mut self, chats: Vec<(usize, chat_core::id::ChatId, u64)>) -> anyhow::Result<()> {
        let user = self.shared.run.plan.users[self.user as usize].clone();
        for (slot, chat, mut after) in chats {
            loop {
                let page = self.shared.rest.history(&user, chat, after).await?;
                let now = Instant::now();
                for item in &page.items {
                    after = item.seq;
                    self.machine.read(slot, item.seq, self.shared.run.plan.index_of(item.message_id), now);
                }
                if !page.has_more || page.items.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Hands over what was seen.
    fn publish(&mut self) {
        let board = &self.shared.board;
        board.count(std::mem::take(&mut self.machine.frames), std::mem::take(&mut self.machine.settled));
        if !self.machine.notes.is_empty() {
            let mut book = self.shared.book();
            self.machine.notes.drain(..).for_each(|note| book.write(note));
        }
    }
}
