use super::*;
use crate::relay::contract::Subject;

struct InOneProcess(InProcessRelay);

#[async_trait]
impl Subject for InOneProcess {
    fn relay(&self) -> Arc<dyn Relay> {
        Arc::new(self.0.clone())
    }
}

crate::relay_contract!([#[tokio::test(start_paused = true)]], InOneProcess(InProcessRelay::new()));

fn gateway(boot: u32) -> GatewayId {
    GatewayId::new("pod", &boot.to_string())
}

#[tokio::test]
async fn a_full_channel_drops_the_newest() {
    let relay = InProcessRelay::new();
    let mut inbox = relay.open(&gateway(0)).await.unwrap();
    for _ in 0..CHANNEL_ENVELOPES + 5 {
        relay.publish(&gateway(0), Envelope::default()).await.unwrap();
    }
    for number in 1..=CHANNEL_ENVELOPES as u64 {
        assert_eq!(inbox.next().await.unwrap().0, number);
    }
    relay.publish(&gateway(0), Envelope::default()).await.unwrap();
    assert_eq!(inbox.next().await.unwrap().0, CHANNEL_ENVELOPES as u64 + 6);
}

#[tokio::test]
async fn a_second_inbox_ends_the_first() {
    let relay = InProcessRelay::new();
    let mut first = relay.open(&gateway(0)).await.unwrap();
    relay.publish(&gateway(0), Envelope::default()).await.unwrap();
    let mut second = relay.open(&gateway(0)).await.unwrap();
    relay.publish(&gateway(0), Envelope::default()).await.unwrap();
    assert_eq!(first.next().await.unwrap().0, 1);
    assert_eq!(first.next().await.unwrap_err(), RelayError::Interrupted);
    assert_eq!(second.next().await.unwrap().0, 2);
}

#[tokio::test(start_paused = true)]
async fn counters_of_past_boots_are_forgotten_and_those_in_use_are_not() {
    let relay = InProcessRelay::new();
    let inbox = relay.open(&gateway(0)).await.unwrap();
    relay.publish(&gateway(0), Envelope::default()).await.unwrap();
    for boot in 1..100 {
        relay.publish(&gateway(boot), Envelope::default()).await.unwrap();
    }
    tokio::time::advance(COUNTER_TTL).await;
    relay.publish(&gateway(100), Envelope::default()).await.unwrap();
    assert_eq!(relay.channels().by_gateway.len(), 2);
    assert_eq!(inbox.counter().await.unwrap(), 1);
}
