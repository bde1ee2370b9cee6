//! The operator: watches clusters and what they are made of, and makes the latter what the former say.
//!
//! One pass over a cluster has named steps: `dereference` reads what the manifest refers to, [`validate`] judges it,
//! [`build`] says which objects there should be, `apply` writes those that differ and removes what is wanted no more,
//! and [`status`] tells people. Only `dereference` and `apply` talk to the API server; the rest is pure. A pass begins
//! anew each time: an operator that dies at any write leaves nothing that the next pass does not find.
//!
//! [`validate`]: crate::validate::validate
//! [`build`]: crate::build::build
//! [`status`]: crate::status::status

mod admin;
mod apply;
mod dereference;
mod failure;
mod generated;
mod lease;
mod memory;
mod metrics;
mod pass;
mod probes;
mod run;
mod running;
mod scale;
mod tell;
mod watches;

pub use run::{RunArgs, run};

use chat_core::clock::{Clock as _, SystemClock};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Returns the time as Kubernetes writes it: whole seconds.
fn now() -> Time {
    let seconds = i64::try_from(SystemClock.now().millis() / 1000).unwrap_or_default();
    Time(k8s_openapi::jiff::Timestamp::from_second(seconds).unwrap_or_default())
}
