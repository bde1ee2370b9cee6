use super::*;
use crate::relay::contract::Subject;
use crate::relay::in_process::InProcessRelay;

struct Calm(LossyRelay);

#[async_trait]
impl Subject for Calm {
    fn relay(&self) -> Arc<dyn Relay> {
        Arc::new(self.0.clone())
    }
}

crate::relay_contract!([#[tokio::test(start_paused = true)]], Calm(lossy(Faults::default(), 1)));

fn lossy(faults: Faults, seed: u64) -> LossyRelay {
    let relay = LossyRelay::new(Arc::new(InProcessRelay::new()), seed);
    relay.set_faults(faults);
    relay
}

fn gateway() -> GatewayId {
    GatewayId::new("pod", "boot")
}

/// Sends so many envelopes and returns the numbers in the order they arrived.
async fn arrivals(relay: &LossyRelay, sent: usize) -> Vec<u64> {
    let mut inbox = relay.open(&gateway()).await.unwrap();
    for _ in 0..sent {
        relay.publish(&gateway(), Envelope::default()).await.unwrap();
    }
    let mut numbers = Vec::new();
    while let Ok(arrived) = tokio::time::timeout(Duration::from_secs(5), inbox.next()).await {
        numbers.push(arrived.unwrap().0);
    }
    assert_eq!(inbox.counter().await.unwrap(), sent as u64);
    numbers
}

#[tokio::test(start_paused = true)]
async fn each_fault_does_what_it_says() {
    let check = async |faults: Faults, expected: &[u64]| {
        assert_eq!(arrivals(&lossy(faults, 7), 4).await, expected, "{faults:?}");
    };
    let none = Faults::default();
    check(none, &[1, 2, 3, 4]).await;
    check(Faults { drop: 1.0, ..none }, &[]).await;
    check(Faults { duplicate: 1.0, ..none }, &[1, 1, 2, 2, 3, 3, 4, 4]).await;

    let late = arrivals(&lossy(Faults { delay: 0.5, delay_up_to: Duration::from_secs(1), ..none }, 7), 100).await;
    let reordered = arrivals(&lossy(Faults { reorder: 0.5, ..none }, 7), 100).await;
    for numbers in [late, reordered] {
        assert!(!numbers.is_sorted());
        let mut all = numbers.clone();
        all.sort_unstable();
        assert_eq!(all, (1..=100).collect::<Vec<_>>(), "nothing is lost or repeated");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_faults() {
    let rough = async |seed| arrivals(&lossy(Faults::ROUGH, seed), 200).await;
    assert_eq!(rough(7).await, rough(7).await);
    assert_ne!(rough(7).await, rough(8).await);
}

#[tokio::test(start_paused = true)]
async fn lost_routes_are_new_again() {
    let relay = lossy(Faults::default(), 1);
    let users = [UserId::new("ada").unwrap(), UserId::new("bob").unwrap()];
    relay.register(&gateway(), &users).await.unwrap();
    relay.lose_routes().await.unwrap();
    assert_eq!(relay.routes(&users).await.unwrap(), [vec![], vec![]]);
    assert_eq!(relay.register(&gateway(), &users).await.unwrap(), [Registered::New; 2]);
}

#[tokio::test(start_paused = true)]
async fn lost_counters_start_again_at_one() {
    let relay = lossy(Faults::default(), 1);
    let mut inbox = relay.open(&gateway()).await.unwrap();
    for _ in 0..3 {
        relay.publish(&gateway(), Envelope::default()).await.unwrap();
    }
    assert_eq!(inbox.next().await.unwrap().0, 1);

    relay.lose_counters();
    assert_eq!(inbox.counter().await.unwrap(), 0);
    relay.publish(&gateway(), Envelope::default()).await.unwrap();
    assert_eq!(inbox.counter().await.unwrap(), 1);
    let mut numbers = Vec::new();
    for _ in 0..3 {
        numbers.push(inbox.next().await.unwrap().0);
    }
    assert_eq!(numbers, [2, 3, 1], "what was under way keeps its number");
    relay.lose_counters();
    assert_eq!(relay.open(&gateway()).await.unwrap().counter().await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cut_ends_open_inboxes_and_an_outage_ends_every_call() {
    let relay = lossy(Faults::default(), 1);
    let mut inbox = relay.open(&gateway()).await.unwrap();
    let waiting = tokio::spawn(async move {
        let first = inbox.next().await;
        (first, inbox.next().await, inbox.counter().await)
    });
    tokio::task::yield_now().await;
    relay.cut_subscriptions();
    let interrupted = || RelayError::Interrupted;
    assert_eq!(waiting.await.unwrap(), (Err(interrupted()), Err(interrupted()), Err(interrupted())));

    let mut inbox = relay.open(&gateway()).await.unwrap();
    relay.set_down(true);
    assert!(matches!(inbox.next().await, Err(RelayError::Unavailable(_))));
    assert!(matches!(relay.publish(&gateway(), Envelope::default()).await, Err(RelayError::Unavailable(_))));
    relay.set_down(false);
    assert_eq!(inbox.next().await, Err(interrupted()));
    relay.publish(&gateway(), Envelope::default()).await.unwrap();
    assert_eq!(relay.open(&gateway()).await.unwrap().counter().await.unwrap(), 1);
}
