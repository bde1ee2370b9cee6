//! Which gateways hold a user, each until a moment: routes, and interest in presence.

use rustc_hash::FxHashMap;
use tokio::time::{Duration, Instant};

use crate::id::{GatewayId, UserId};

/// Keeps leases of gateways on users. All leases of one table live equally long; none outlives its end by more than
/// one more such span, so memory follows what is renewed.
pub(crate) struct Leases {
    lifetime: Duration,
    by_user: FxHashMap<UserId, Vec<Lease>>,
    swept_at: Option<Instant>,
}

struct Lease {
    gateway: GatewayId,
    until: Instant,
}

impl Leases {
    /// Makes an empty table whose leases live for `lifetime`.
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { lifetime, by_user: FxHashMap::default(), swept_at: None }
    }

    /// Grants or renews a gateway's leases; tells of each user, in the order asked, whether an unexpired one was there.
    pub(crate) fn renew(&mut self, gateway: &GatewayId, users: &[UserId], now: Instant) -> Vec<bool> {
        self.sweep(now);
        let until = now + self.lifetime;
        users
            .iter()
            .map(|user| {
                let Some(leases) = self.by_user.get_mut(user.as_str()) else {
                    self.by_user.insert(user.clone(), vec![Lease { gateway: gateway.clone(), until }]);
                    return false;
                };
                if let Some(lease) = leases.iter_mut().find(|lease| lease.gateway == *gateway) {
                    let was_held = lease.until > now;
                    lease.until = until;
                    return was_held;
                }
                leases.push(Lease { gateway: gateway.clone(), until });
                false
            })
            .collect()
    }

    /// Ends a gateway's leases.
    pub(crate) fn release(&mut self, gateway: &GatewayId, users: &[UserId]) {
        for user in users {
            if let Some(leases) = self.by_user.get_mut(user.as_str()) {
                leases.retain(|lease| lease.gateway != *gateway);
                if leases.is_empty() {
                    self.by_user.remove(user.as_str());
                }
            }
        }
    }

    /// Returns the gateways with an unexpired lease on the user.
    pub(crate) fn holders(&self, user: &UserId, now: Instant) -> Vec<GatewayId> {
        self.by_user.get(user.as_str()).map_or_else(Vec::new, |leases| {
            leases.iter().filter(|lease| lease.until > now).map(|lease| lease.gateway.clone()).collect()
        })
    }

    /// Forgets expired leases, at most once a lifetime, so that its cost is spread over the renewals between.
    fn sweep(&mut self, now: Instant) {
        if self.swept_at.is_some_and(|at| now < at + self.lifetime) {
            return;
        }
        self.swept_at = Some(now);
        self.by_user.retain(|_, leases| {
            leases.retain(|lease| lease.until > now);
            !leases.is_empty()
        });
        self.by_user.shrink_to(self.by_user.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn memory_follows_what_is_renewed() {
        let mut leases = Leases::new(Duration::from_secs(30));
        let gateway = GatewayId::new("pod", "boot");
        for n in 0..1_000 {
            leases.renew(&gateway, &[UserId::new(&format!("u{n}")).unwrap()], Instant::now());
        }
        assert_eq!(leases.by_user.len(), 1_000);

        tokio::time::advance(Duration::from_secs(31)).await;
        leases.renew(&gateway, &[UserId::new("last").unwrap()], Instant::now());
        assert_eq!(leases.by_user.len(), 1);
        assert!(leases.by_user.capacity() < 100, "the table keeps room for {}", leases.by_user.capacity());
    }
}
