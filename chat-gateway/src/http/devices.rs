//! Devices that can be pushed to: `/v1/devices`.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use chat_core::clock::Time;
use chat_core::codes::ErrorCode;
use chat_core::frame::{Fault, Page};
use chat_core::push::Platform;
use chat_core::user_store::{DeviceRow, UserWrite};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{Ids, Json};
use super::caller::{Caller, Writer};
use super::problem::Answer;
use crate::state::State;
use crate::view::store_fault;

/// Devices of one user.
const MAX_DEVICES: usize = 20;

/// Longest name of a device.
const MAX_NAME: usize = 64;

/// Longest push token: the vendors promise no length, and FCM's have grown to some hundred characters.
const MAX_TOKEN: usize = 4_096;

/// A device as its owner sees it; the push token is not told again.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Device")]
pub(super) struct Registered {
    device: String,
    platform: Platform,
    updated_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid_at: Option<Time>,
}

impl From<DeviceRow> for Registered {
    fn from(row: DeviceRow) -> Self {
        let DeviceRow { device, platform, updated_at, invalid_at, .. } = row;
        Self { device, platform, updated_at, invalid_at }
    }
}

/// `GET /v1/devices`: all of them, for there are few.
pub(super) async fn list(Shared(state): Shared<Arc<State>>, caller: Caller) -> Answer<Body<Page<Registered>>> {
    state.push()?;
    let devices = state.users.devices(&[caller.user]).await.map_err(store_fault)?;
    let items = devices.into_iter().flatten().map(Registered::from).collect();
    Ok(Body(Page { items, next_cursor: None }))
}

/// Body of `PUT /v1/devices/{device}`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct PutDevice {
    platform: Platform,
    /// The vendor's name for the device: printable ASCII.
    #[schemars(length(min = 1, max = 4096), regex(pattern = "^[!-~]+$"))]
    push_token: String,
}

/// `PUT /v1/devices/{device}`: registers it, or registers it again.
pub(super) async fn put(
    Shared(state): Shared<Arc<State>>,
    caller: Writer,
    Ids(device): Ids<String>,
    Json(PutDevice { platform, push_token }): Json<PutDevice>,
) -> Answer<Body<Registered>> {
    state.push()?;
    check(&device, &push_token)?;
    let devices = state.users.devices(std::slice::from_ref(&caller.user)).await.map_err(store_fault)?;
    let mut others = devices.iter().flatten().filter(|row| row.device != device);
    if others.nth(MAX_DEVICES - 1).is_some() {
        return Err(Fault::new(ErrorCode::LimitExceeded, "a user has at most 20 devices").at_field("device").into());
    }
    let row = DeviceRow { device, platform, push_token, updated_at: state.clock.now(), invalid_at: None };
    let write = UserWrite::PutDevice { user: caller.user, device: row.clone() };
    state.users.write(vec![write]).await.map_err(store_fault)?;
    Ok(Body(row.into()))
}

/// `DELETE /v1/devices/{device}`.
pub(super) async fn delete(
    Shared(state): Shared<Arc<State>>,
    caller: Writer,
    Ids(device): Ids<String>,
) -> Answer<StatusCode> {
    state.push()?;
    check_name(&device)?;
    let write = UserWrite::RemoveDevice { user: caller.user, device };
    state.users.write(vec![write]).await.map_err(store_fault)?;
    Ok(StatusCode::NO_CONTENT)
}

fn check(device: &str, push_token: &str) -> Result<(), Fault> {
    check_name(device)?;
    if push_token.is_empty() || push_token.len() > MAX_TOKEN || !push_token.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(Fault::invalid("push_token", "a push token is 1 to 4096 printable ASCII characters"));
    }
    Ok(())
}

fn check_name(device: &str) -> Result<(), Fault> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if device.is_empty() || device.len() > MAX_NAME || !device.bytes().all(allowed) {
        return Err(Fault::invalid("device", "a device is named by 1 to 64 of A-Za-z0-9._-"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_device_is_refused_by_field() {
        let field = |device: &str, token: &str| check(device, token).map_err(|fault| fault.field.unwrap_or_default());
        assert_eq!(field("phone-1", "t"), Ok(()));
        assert_eq!(field(&"d".repeat(64), &"t".repeat(4_096)), Ok(()));
        for device in ["", "a b", "é", &"d".repeat(65)] {
            assert_eq!(field(device, "t"), Err("device".to_owned()), "{device}");
        }
        for token in ["", "a b", &"t".repeat(4_097)] {
            assert_eq!(field("d", token), Err("push_token".to_owned()), "{token}");
        }
    }
}
