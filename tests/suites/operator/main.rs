//! The operator against a real API server: `tests/run.sh operator`.
//!
//! There are no nodes. Each scenario has a namespace of its own, with an operator of its own that has the rights of
//! `chat-operator rbac` and no more; [`world`] plays the kubelet.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod convergence;
mod crashes;
mod definition;
mod drift;
mod external;
mod gateways;
mod lease;
mod life;
mod refusals;
mod scaling;
#[path = "../../../operator/tests/wrong_manifests/table.rs"]
mod table;
mod world;
