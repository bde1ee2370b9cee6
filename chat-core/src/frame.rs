//! The frames of protocol v1: what clients and gateways say to each other, as types.
//!
//! An envelope is `{id?, type, d?}`. A client frame with an `id` gets exactly one reply; a server frame without one is
//! a push. Optional fields are absent, never null.

pub mod client;
pub mod document;
pub mod fault;
pub mod model;
pub mod server;

pub use client::{ClientFrame, Envelope, Request, decode};
pub use fault::Fault;
pub use model::{
    Attachment, Change, ChangeKind, Chat, ChatInfo, ChatType, ContentType, Member, Message, Meta, Page, Peer, Presence,
    PresenceStatus, Role,
};
pub use server::{Push, Reply, push_json, reply_json};

#[cfg(test)]
mod tests;
