//! How fast connections leave a gateway.

use std::time::Duration;

use super::{Gateway, Phase};

/// Returns the connections that each draining gateway may ask to move per second, at least 1, until it is told again
/// after `pass`.
///
/// All of them together ask for no more than `rate` a second, and in one pass for no more than the gateways that stay
/// have room for: who is asked to move must find a place.
pub fn pace(rate: u32, capacity: u32, gateways: &[Gateway], pass: Duration) -> u32 {
    let draining = gateways.iter().filter(|gateway| !gateway.phase.stays()).count();
    let draining = u64::try_from(draining).unwrap_or(u64::MAX).max(1);
    let room = room(u64::from(capacity), gateways);
    let seconds = pass.as_secs().max(1);
    let each = u64::from(rate).min(room / seconds) / draining;
    u32::try_from(each).unwrap_or(u32::MAX).max(1)
}

/// Returns the connections that the gateways which take any have room for. One that does not answer has none.
pub(super) fn room(capacity: u64, gateways: &[Gateway]) -> u64 {
    let ready = gateways.iter().filter(|gateway| gateway.phase == Phase::Ready);
    ready.map(|gateway| capacity.saturating_sub(gateway.connections.unwrap_or(capacity))).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(phase: Phase, connections: u64) -> Gateway {
        Gateway { ordinal: 0, phase, connections: Some(connections) }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_rate_is_shared_by_all_that_drain() {
        let two = [gateway(Phase::Ready, 0), gateway(Phase::Draining, 9), gateway(Phase::Leaving, 9)];
        assert_eq!(pace(200, 10_000, &two, SECOND), 100);
        assert_eq!(pace(200, 10_000, &two[..2], SECOND), 200);
    }

    #[test]
    fn no_more_are_asked_to_move_than_find_a_place() {
        let tight = [gateway(Phase::Ready, 9_950), gateway(Phase::Draining, 900)];
        assert_eq!(pace(200, 10_000, &tight, SECOND), 50);
        assert_eq!(pace(200, 10_000, &tight, Duration::from_secs(10)), 5);
    }

    #[test]
    fn a_drain_never_stands_still() {
        let full = [gateway(Phase::Ready, 10_000), gateway(Phase::Draining, 900)];
        assert_eq!(pace(200, 10_000, &full, SECOND), 1);
        let silent = [Gateway { ordinal: 0, phase: Phase::Ready, connections: None }];
        assert_eq!(pace(200, 10_000, &silent, SECOND), 1);
    }
}
