//! `receipt`: the caller's cursors, taken for the next tick.

use std::sync::atomic::Ordering::Relaxed;

use chat_core::codes::ErrorCode;
use chat_core::config::Rate;
use chat_core::frame::Fault;
use chat_core::frame::client::Receipt;
use chat_core::frame::server::Ack;
use chat_core::id::MAX_INTEGER;
use chat_core::receipt::UserCursors;

use super::require_write;
use crate::membership;
use crate::rate::{Gcra, TooSoon};
use crate::session::Session;
use crate::state::State;

/// Takes the cursors. They are cut to the head by the receipts worker, which knows it.
pub(super) async fn take(state: &State, session: &Session, receipt: Receipt) -> Result<Ack, Fault> {
    let Receipt { chat_id, delivered, read } = receipt;
    require_write(session)?;
    check(delivered, read)?;
    take_rate(state, session)?;
    membership::standing(state, &session.user, chat_id).await?;
    let is_active = session.is_active.load(Relaxed);
    let cursors =
        UserCursors::new(session.user.clone(), delivered.unwrap_or_default(), read.unwrap_or_default(), is_active);
    state.receipts.raise(chat_id, cursors)?;
    Ok(Ack::Done {})
}

fn check(delivered: Option<u64>, read: Option<u64>) -> Result<(), Fault> {
    if delivered.is_none() && read.is_none() {
        return Err(Fault::invalid("delivered", "at least one of `delivered` and `read` is required"));
    }
    for (field, cursor) in [("delivered", delivered), ("read", read)] {
        if cursor.is_some_and(|cursor| cursor > MAX_INTEGER) {
            return Err(Fault::invalid(field, "a whole number is at most 2^53 - 1"));
        }
    }
    Ok(())
}

fn take_rate(state: &State, session: &Session) -> Result<(), Fault> {
    let per_second = state.config.limits.receipts_per_second;
    let rate = Gcra::new(Rate::new(per_second, per_second.saturating_mul(2)));
    let taken = session.take_receipt(rate, state.uptime.nanos());
    taken.map_err(|TooSoon { wait_ms }| Fault::of(ErrorCode::RateLimited).retry_after(wait_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_tells_at_least_one_cursor() {
        let field = |delivered, read| check(delivered, read).map_err(|fault| fault.field.unwrap_or_default());
        assert_eq!(field(Some(1), None), Ok(()));
        assert_eq!(field(None, Some(MAX_INTEGER)), Ok(()));
        assert_eq!(field(None, None), Err("delivered".to_owned()));
        assert_eq!(field(None, Some(MAX_INTEGER + 1)), Err("read".to_owned()));
    }
}
