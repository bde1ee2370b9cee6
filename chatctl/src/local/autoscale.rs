//! Keeps as many gateways as the connections need: looks at them once a second, asks the planner of the operator, and
//! carries out the step it names.

use std::sync::Arc;
use std::time::Duration;

use operator::scaling::{Gateway, Plan, Rules, Scaler, Step};
use tokio::sync::watch;
use tokio::time::Instant;

use super::fleet::{self, Fleet};
use super::report::Event;

/// How often the connections are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Follows the connections until it is dropped; `plans` always has the last plan.
pub(crate) async fn run(fleet: Arc<Fleet>, rules: Rules, plans: watch::Sender<Option<Plan>>) {
    let begun = Instant::now();
    let mut scaler = Scaler::new(Duration::ZERO);
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let now = begun.elapsed();
        let seen = fleet.seen();
        scaler.observe(now, &rules, &seen);
        let plan = scaler.plan(now, &rules, &seen);
        if plan.step != Step::Keep {
            tell(&fleet, &seen, &plan);
            if let Err(error) = carry_out(&fleet, &plan.step).await {
                tracing::warn!(error = format!("{error:#}"), "the number of gateways was not changed");
            }
        }
        plans.send_replace(Some(plan));
    }
}

fn tell(fleet: &Fleet, seen: &[Gateway], plan: &Plan) {
    let gateways = seen.iter().filter(|gateway| gateway.phase.stays()).count();
    let connections = seen.iter().filter_map(|gateway| gateway.connections).sum();
    let reason = plan.reason.to_string();
    fleet.tell(&Event::Scaling { gateways, desired: plan.desired, connections, reason: &reason });
}

async fn carry_out(fleet: &Arc<Fleet>, step: &Step) -> anyhow::Result<()> {
    match step {
        Step::Keep => {}
        Step::Add(count) => {
            for _ in 0..*count {
                fleet.add().await?;
            }
        }
        Step::Drain(ordinals) => {
            for ordinal in ordinals {
                fleet.scale_in(&fleet::name(*ordinal))?;
            }
        }
        Step::Withdraw(ordinals) => ordinals.iter().for_each(|ordinal| fleet.withdraw(&fleet::name(*ordinal))),
    }
    Ok(())
}
