//! A gateway on in-memory engines with the real sequencer behind it, as clients see it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod broken;
mod codes;
mod connecting;
mod delivery;
mod documents;
mod drain;
mod erasure;
mod fuzz;
mod harness;
mod histories;
mod polling;
mod presence;
mod private_issuer;
mod product;
mod published_keys;
mod reads;
mod receipts;
mod rest;
mod retention;
mod sending;
mod survival;
mod sync;
