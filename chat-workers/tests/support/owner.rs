//! One owner of the partition, step by step: the real reads and the real plan, with every write in the test's hands.

use chat_core::message_log::Position;
use chat_core::message_store::StoreError;
use chat_core::message_store::memory::MemoryStore;
use chat_workers::sequencer::batch::{self, Chats, Known, Needs, Plan, Positioned, Settled};
use chat_workers::sequencer::load;
use futures_util::FutureExt;

use super::write::Write;

/// A batch that is planned and not yet written.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// Stage 1.
    pub(crate) rows: Vec<Write>,
    /// Stage 2.
    pub(crate) states: Vec<Write>,
    /// What became of each record, and whether it was decided before.
    pub(crate) settled: Vec<(Settled, bool)>,
    /// The chats as they are once all is acknowledged.
    pub(crate) chats: Chats,
}

/// What a driver may do wrong with what it read; see `sabotage.rs`.
pub(crate) type Meddle<'a> = &'a dyn Fn(&mut Chats, &mut Known);

/// Plans a batch against copies of the cached chats, as the partition's task does, with `meddle` between the reads
/// and the decisions. Fails where the store cannot be read.
pub(crate) fn plan(
    store: &MemoryStore,
    cache: &Chats,
    records: &[Positioned],
    meddle: Meddle<'_>,
) -> Result<Batch, StoreError> {
    let mut chats = Chats::default();
    let mut missing = Vec::new();
    for Positioned { record, time, .. } in records {
        if let Some(chat) = cache.get(&record.chat_id) {
            chats.insert(record.chat_id, chat.clone());
        } else if !missing.iter().any(|(chat_id, _)| *chat_id == record.chat_id) {
            missing.push((record.chat_id, *time));
        }
    }
    load::chats(store, missing, &mut chats).now_or_never().expect("memory never waits")?;
    let needs: Needs = batch::needs(&chats, records);
    let replayed: Vec<Position> = needs.replayed.iter().map(|(_, position)| *position).collect();
    let mut known = load::known(store, needs, records).now_or_never().expect("memory never waits")?;
    meddle(&mut chats, &mut known);
    let Plan { rows, states, settled } = batch::plan(&mut chats, records, &known);
    let with_replay = |settled: Settled| {
        let is_replay = replayed.contains(&settled.position);
        (settled, is_replay)
    };
    Ok(Batch {
        rows: rows.into_iter().map(Write::Row).collect(),
        states: states.into_iter().map(|(chat, state)| Write::State(chat, state)).collect(),
        settled: settled.into_iter().map(with_replay).collect(),
        chats,
    })
}
