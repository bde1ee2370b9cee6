//! Firebase Cloud Messaging, HTTP v1, by service account.
//!
//! Sources: Google's documentation, "FCM HTTP v1 API: projects.messages.send", "FCM error codes" (`ErrorCode` of
//! `google.firebase.fcm.v1`), "Scale" (retries, `Retry-After`), and "Using OAuth 2.0 for server to server applications".
//!
//! The collapse key is the collapse id of the port. Of messages under different keys that wait for one device, Google
//! keeps four; an app that is woken by any of them fetches the others by `sync`.

use std::fmt;
use std::sync::Arc;

use super::credential::Credential;
use super::standing::{Standing, Verdict};
use super::transport::Transport;
use super::{Endpoint, VendorError};
use crate::clock::Clock;
use crate::config::FcmConfig;
use crate::push::{Notification, PushAnswer};

mod access_token;
mod account;
mod request;
mod verdict;

use access_token::AccessTokens;

/// Google's address.
const ADDRESS: &str = "https://fcm.googleapis.com";

/// Sends to Google's devices.
pub(super) struct Fcm {
    base: String,
    tokens: AccessTokens,
    transport: Transport,
    standing: Standing,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Fcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fcm({})", self.base)
    }
}

impl Fcm {
    pub(super) fn open(
        config: &FcmConfig,
        endpoint: Option<&Endpoint>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VendorError> {
        let file = &config.service_account_file;
        let account = Credential::open(file, "the key of a service account", account::read, clock.now())?;
        Ok(Self {
            base: endpoint.map_or(ADDRESS, |endpoint| &endpoint.base).to_owned(),
            tokens: AccessTokens::new(account),
            transport: Transport::any_http(endpoint)?,
            standing: Standing::new("FCM"),
            clock,
        })
    }

    pub(super) async fn deliver(&self, token: &str, notification: &Notification) -> PushAnswer {
        let body = request::encode(token, notification);
        let mut verdict = self.attempt(&body).await;
        // The access token was revoked before its time: a new one may do.
        if matches!(verdict, Verdict::Stale { .. }) {
            verdict = self.attempt(&body).await;
        }
        self.standing.answer(verdict)
    }

    async fn attempt(&self, body: &bytes::Bytes) -> Verdict {
        let access = match self.tokens.current(&self.transport, &*self.clock).await {
            Ok(access) => access,
            Err(verdict) => return verdict,
        };
        let sent = self.transport.send(|client| request::build(client, &self.base, &access, body.clone())).await;
        match sent {
            Ok(reply) => {
                let verdict = verdict::judge(&reply, self.clock.now());
                if matches!(verdict, Verdict::Stale { .. }) {
                    self.tokens.give_up(&access);
                }
                verdict
            }
            Err(reason) => Verdict::later(reason, None),
        }
    }
}
