//! Values as the engine keeps them.

use scylla::value::CqlTimestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::unreadable;
use crate::clock::Time;
use crate::message_log::Position;
use crate::message_store::StoreError;

/// Returns a number as the engine keeps it: 63 bits are enough for any that is real.
pub(crate) fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns a number of the engine, which keeps none below 0.
pub(crate) fn number(long: i64) -> Result<u64, StoreError> {
    u64::try_from(long).map_err(unreadable)
}

pub(crate) fn moment(time: Time) -> CqlTimestamp {
    CqlTimestamp(long(time.millis()))
}

pub(crate) fn time(moment: CqlTimestamp) -> Result<Time, StoreError> {
    number(moment.0).map(Time::from_millis)
}

/// Encodes a position so that its bytes compare as positions do.
pub(crate) fn position_bytes(position: Position) -> Vec<u8> {
    let Position { epoch, partition, offset } = position;
    [&epoch.to_be_bytes()[..], &partition.to_be_bytes(), &offset.to_be_bytes()].concat()
}

/// Decodes what [`position_bytes`] made.
pub(crate) fn position_of(bytes: &[u8]) -> Result<Position, StoreError> {
    let bytes: [u8; 16] = bytes.try_into().map_err(unreadable)?;
    let all = u128::from_be_bytes(bytes).to_be_bytes();
    let (epoch, rest) = all.split_first_chunk::<4>().unwrap_or_else(|| unreachable!("16 bytes"));
    let (partition, rest) = rest.split_first_chunk::<4>().unwrap_or_else(|| unreachable!("12 bytes"));
    let offset = rest.first_chunk::<8>().unwrap_or_else(|| unreachable!("8 bytes"));
    Ok(Position {
        epoch: u32::from_be_bytes(*epoch),
        partition: u32::from_be_bytes(*partition),
        offset: u64::from_be_bytes(*offset),
    })
}

/// Encodes an enumeration as the word that the wire has for it.
pub(crate) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => unreachable!("it is one word"),
    }
}

pub(crate) fn of_word<T: DeserializeOwned>(word: String) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(unreadable)
}
