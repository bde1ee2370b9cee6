//! What an answer of a vendor means for the device, given how we stand with that vendor.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{error, info};

use crate::push::PushAnswer;

/// What a vendor's answer says, by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It speaks of the notification or the device.
    Answer(PushAnswer),
    /// The device is not one of our app, or our settings name another app.
    Stranger {
        /// The vendor's words.
        reason: String,
    },
    /// It refuses our credentials or settings.
    Misconfigured {
        /// The vendor's words.
        reason: String,
    },
    /// The token that names us is too old: a new one may do.
    Stale {
        /// The vendor's words.
        reason: String,
    },
}

impl Verdict {
    /// Makes a verdict to try again.
    pub(super) fn later(reason: String, retry_after_ms: Option<u64>) -> Self {
        Self::Answer(PushAnswer::Later { reason, retry_after_ms })
    }
}

/// How we stand with a vendor.
#[derive(Debug)]
pub(super) struct Standing {
    vendor: &'static str,
    /// It has taken a notification: app and environment are the right ones.
    is_proven: AtomicBool,
    is_refused: AtomicBool,
}

impl Standing {
    pub(super) const fn new(vendor: &'static str) -> Self {
        Self { vendor, is_proven: AtomicBool::new(false), is_refused: AtomicBool::new(false) }
    }

    /// Turns a verdict into an answer, and tells the log when the vendor begins or ceases to refuse us.
    ///
    /// A wrong topic or environment makes every device look like a stranger. None is marked before the vendor has
    /// taken a notification: one wrong setting must not cost all devices their registration. Refused credentials are
    /// for people to mend, so the notification may come later.
    pub(super) fn answer(&self, verdict: Verdict) -> PushAnswer {
        match verdict {
            Verdict::Answer(answer) => {
                if answer == PushAnswer::Accepted {
                    self.is_proven.store(true, Ordering::Relaxed);
                    if self.is_refused.swap(false, Ordering::Relaxed) {
                        info!(vendor = self.vendor, "takes notifications again");
                    }
                }
                answer
            }
            Verdict::Stranger { reason } if self.is_proven.load(Ordering::Relaxed) => {
                PushAnswer::InvalidToken { reason, since: None }
            }
            Verdict::Stranger { reason } => PushAnswer::Refused { reason },
            Verdict::Misconfigured { reason } | Verdict::Stale { reason } => {
                if !self.is_refused.swap(true, Ordering::Relaxed) {
                    error!(vendor = self.vendor, reason, "refuses our credentials or settings");
                }
                PushAnswer::Later { reason, retry_after_ms: None }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_invalid_only_after_the_vendor_took_a_notification() {
        let standing = Standing::new("APNs");
        let stranger = || Verdict::Stranger { reason: "BadDeviceToken".into() };
        assert_eq!(standing.answer(stranger()), PushAnswer::Refused { reason: "BadDeviceToken".into() });
        assert_eq!(standing.answer(Verdict::Answer(PushAnswer::Accepted)), PushAnswer::Accepted);
        let invalid = PushAnswer::InvalidToken { reason: "BadDeviceToken".into(), since: None };
        assert_eq!(standing.answer(stranger()), invalid);
    }

    #[test]
    fn refused_credentials_put_a_notification_off() {
        let standing = Standing::new("APNs");
        let later = PushAnswer::Later { reason: "InvalidProviderToken".into(), retry_after_ms: None };
        assert_eq!(standing.answer(Verdict::Misconfigured { reason: "InvalidProviderToken".into() }), later);
    }
}
