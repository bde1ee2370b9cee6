//! The consumer: one task that hears from the log, feeds the partitions' tasks and carries out what they ask for. It
//! never waits for one of them, so a slow partition holds up nobody but itself.

use std::time::Duration;

use chat_core::message_log::{Consumer, Delivery, LogError, Topic};
use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::lane::{Control, Lane, Request};
use super::partition::Partition;
use super::{BlockReason, Sequencer};

/// The consumer group of the sequencers.
const GROUP: &str = "sequencer";

/// Requests of partitions that wait.
const CONTROL_DEPTH: usize = 256;

/// Pause after an error of the log.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a partition may take to finish when it is given up.
const FINISH: Duration = Duration::from_secs(6);

pub(super) async fn run(sequencer: Sequencer, shutdown: CancellationToken) -> Result<(), LogError> {
    let consumer = loop {
        match sequencer.ports.log.subscribe(Topic::Messages, GROUP).await {
            Ok(consumer) => break consumer,
            Err(error) if error.is_retryable() => {
                warn!(%error, "subscribe to the log");
                tokio::select! {
                    () = sleep(PAUSE) => {}
                    () = shutdown.cancelled() => return Ok(()),
                }
            }
            Err(error) => return Err(error),
        }
    };
    let (control, requests) = mpsc::channel(CONTROL_DEPTH);
    let consume =
        Consume { sequencer, consumer, lanes: FxHashMap::default(), assignments: 0, control, unheard: Vec::new() };
    consume.run(requests, shutdown).await;
    Ok(())
}

struct Consume {
    sequencer: Sequencer,
    consumer: Box<dyn Consumer>,
    lanes: FxHashMap<u32, Lane>,
    /// How many assignments there were.
    assignments: u64,
    control: mpsc::Sender<Control>,
    /// Requests that the log did not take: tried again every second.
    unheard: Vec<Control>,
}

impl Consume {
    async fn run(mut self, mut requests: mpsc::Receiver<Control>, shutdown: CancellationToken) {
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let outcome = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(control) = requests.recv() => self.carry_out(control).await,
                _ = tick.tick() => {
                    let outcome = self.tick().await;
                    // From now on, however long it took: in between the log must be heard, which may wait for this very
                    // consumer before it answers a commit.
                    tick.reset();
                    outcome
                }
                delivery = self.consumer.next(self.sequencer.config.batch_records) => match delivery {
                    Ok(delivery) => self.take(delivery, &mut requests).await,
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = outcome {
                self.tell_of(&error);
                warn!(%error, "consume the log");
                sleep(PAUSE).await;
            }
        }
        let lanes: Vec<Lane> = self.lanes.drain().map(|(_, lane)| lane).collect();
        self.give_up(lanes, &mut requests).await;
    }

    async fn take(&mut self, delivery: Delivery, requests: &mut mpsc::Receiver<Control>) -> Result<(), LogError> {
        match delivery {
            Delivery::Assigned { partition, epoch, committed } => {
                info!(partition, epoch, committed, "own a partition");
                let lane = self.start(partition, epoch, committed);
                let former = self.lanes.insert(partition, lane);
                self.give_up(former.into_iter().collect(), requests).await;
                // It is ours whether or not the log says now how much there is to do.
                self.observe_lag(&[partition]).await?;
            }
            Delivery::Revoked { partition } => {
                info!(partition, "give a partition up");
                let lane = self.lanes.remove(&partition);
                self.give_up(lane.into_iter().collect(), requests).await;
                self.sequencer.status.remove(partition);
            }
            Delivery::Records { partition, entries } => {
                if let Some(lane) = self.lanes.get_mut(&partition)
                    && lane.offer(entries)
                {
                    self.consumer.pause(partition, true).await?;
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, id: u32, epoch: u32, committed: u64) -> Lane {
        self.assignments += 1;
        let assignment = self.assignments;
        let revoked = CancellationToken::new();
        let partition = Partition {
            id,
            epoch,
            assignment,
            ports: self.sequencer.ports.clone(),
            config: self.sequencer.config,
            metrics: self.sequencer.metrics.clone(),
            status: self.sequencer.status.clone(),
            control: self.control.clone(),
            committed,
        };
        let token = revoked.clone();
        Lane::new(assignment, revoked, move |end| tokio::spawn(partition.run(end, token)))
    }

    /// Does what a partition asks for; keeps what the log does not take now.
    async fn carry_out(&mut self, control: Control) -> Result<(), LogError> {
        let outcome = self.attempt(control).await;
        if outcome.as_ref().is_err_and(LogError::is_retryable) {
            // A later request of the kind covers the earlier: offsets and generations only grow.
            let kind = |control: &Control| (control.partition, std::mem::discriminant(&control.request));
            self.unheard.retain(|earlier| kind(earlier) != kind(&control));
            self.unheard.push(control);
        }
        outcome
    }

    async fn attempt(&mut self, Control { partition, assignment, request }: Control) -> Result<(), LogError> {
        if let Request::Commit { next } = request {
            return self.consumer.commit(partition, next).await;
        }
        let Some(lane) = self.lanes.get_mut(&partition).filter(|lane| lane.assignment == assignment) else {
            return Ok(());
        };
        match request {
            Request::Rewind { offset, generation } if generation > lane.generation => {
                // The generation begins only when the log reads from there: until then the partition drops what comes.
                self.consumer.seek(partition, offset).await?;
                self.consumer.pause(partition, false).await?;
                lane.rewind(generation);
                Ok(())
            }
            Request::Drained if lane.push_on() => self.consumer.pause(partition, false).await,
            Request::Commit { .. } | Request::Rewind { .. } | Request::Drained => Ok(()),
        }
    }

    async fn tick(&mut self) -> Result<(), LogError> {
        for control in std::mem::take(&mut self.unheard) {
            if let Err(error) = self.carry_out(control).await {
                warn!(%error, ?control, "repeat a request");
            }
        }
        let owned: Vec<u32> = self.lanes.keys().copied().collect();
        self.observe_lag(&owned).await
    }

    /// Lets partitions finish what is in flight, and commits it.
    async fn give_up(&mut self, lanes: Vec<Lane>, requests: &mut mpsc::Receiver<Control>) {
        if lanes.is_empty() {
            return;
        }
        for lane in &lanes {
            lane.revoked.cancel();
        }
        let tasks = futures_util::future::join_all(lanes.into_iter().map(|lane| lane.task));
        let finished = timeout(FINISH, async {
            tokio::pin!(tasks);
            loop {
                tokio::select! {
                    biased;
                    results = &mut tasks => break results,
                    Some(control) = requests.recv() => self.carry_out_or_warn(control).await,
                }
            }
        });
        let Ok(results) = finished.await else {
            return warn!("partitions did not finish in time; their next owner repeats the rest");
        };
        for error in results.into_iter().filter_map(Result::err) {
            warn!(%error, "a partition ended badly");
        }
        while let Ok(control) = requests.try_recv() {
            self.carry_out_or_warn(control).await;
        }
    }

    /// Others go on while some partitions are given up, so their requests are heard too.
    async fn carry_out_or_warn(&mut self, control: Control) {
        if let Err(error) = self.carry_out(control).await {
            warn!(%error, ?control, "carry out a request");
        }
    }

    async fn observe_lag(&mut self, partitions: &[u32]) -> Result<(), LogError> {
        for (partition, lag) in partitions.iter().zip(self.consumer.lag(partitions).await?) {
            self.sequencer.status.update(*partition, |status| status.lag = lag);
        }
        Ok(())
    }

    /// Shows an error that no retry mends on the partition it is about.
    fn tell_of(&self, error: &LogError) {
        if let LogError::DataLost { partition, .. } = error {
            self.sequencer.status.block(*partition, BlockReason::DataLost, self.sequencer.ports.clock.now());
        }
    }
}
