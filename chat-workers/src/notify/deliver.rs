//! One notification on its way to one device: attempts with back-off, a bounded number of calls at once.

use std::sync::Arc;
use std::time::Duration;

use chat_core::clock::Time;
use chat_core::push;
use chat_core::push::outcome::PushResult;
use chat_core::push::{Device, Notification, PushAnswer, PushSender};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::backoff::backoff;
use crate::metrics::PushMetrics;

/// Longest pause that a vendor may ask for.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The way to the vendors.
#[derive(Debug)]
pub(super) struct Courier {
    push: Arc<dyn PushSender>,
    calls: Semaphore,
    attempts: u32,
    metrics: PushMetrics,
}

impl Courier {
    pub(super) fn new(push: Arc<dyn PushSender>, concurrent: usize, attempts: u32, metrics: PushMetrics) -> Self {
        Self { push, calls: Semaphore::new(concurrent.clamp(1, Semaphore::MAX_PERMITS)), attempts, metrics }
    }

    /// Delivers to one device that was last `registered` then; returns what became of it, with the vendor's words.
    pub(super) async fn deliver(
        &self,
        device: &Device,
        registered: Time,
        notification: &Notification,
    ) -> (PushResult, Option<String>) {
        let mut attempt = 1;
        loop {
            let (reason, retry_after_ms) = match self.call(device, registered, notification).await {
                PushAnswer::Accepted => return (PushResult::Sent, None),
                PushAnswer::InvalidToken { reason, .. } => return (PushResult::InvalidToken, Some(reason)),
                PushAnswer::Refused { reason } => return (PushResult::Refused, Some(reason)),
                PushAnswer::Later { reason, retry_after_ms } => (reason, retry_after_ms.unwrap_or_default()),
            };
            if attempt >= self.attempts {
                return (PushResult::GivenUp, Some(reason));
            }
            let asked_for = Duration::from_millis(retry_after_ms).min(LONGEST_PAUSE);
            sleep(asked_for + backoff(attempt)).await;
            attempt += 1;
        }
    }

    async fn call(&self, device: &Device, registered: Time, notification: &Notification) -> PushAnswer {
        // The semaphore is never closed, so there is always a permit to wait for.
        let _permit = self.calls.acquire().await;
        let begun = Instant::now();
        let answer = push::attempt(&*self.push, device, registered, notification).await;
        self.metrics.deliver_seconds.observe(begun.elapsed().as_secs_f64());
        answer
    }
}
