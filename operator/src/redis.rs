//! Managed Redis Cluster: which one move leads from what is seen to what is wanted. Pure: no client, no clock.
//!
//! A pass looks, asks [`plan`] for one [`Move`], makes it, and looks again. Nothing is remembered between passes, so an
//! operator that dies between them loses nothing. Moves come in this order: what serves again, what is known of whom,
//! who copies whom, who owns which slots.
//!
//! # What holds, whatever is seen (`redis/tests.rs`)
//! - No slot that a live node owns is ever given to another without being moved, and none is moved off its last owner
//!   to a node that does not answer.
//! - A node that owns slots is forgotten only when it and all its replicas are gone: its content is rebuildable, and its
//!   slots are then given to a live shard.
//! - From every state, with nothing else happening, a bounded number of moves leads to the wanted one.

mod plan;
mod view;

pub use plan::{Move, Wanted, plan};
pub use view::{Known, Pod, Role, View};

/// Hash slots of a Redis Cluster.
pub const SLOTS: u16 = 16_384;

#[cfg(test)]
mod tests;
