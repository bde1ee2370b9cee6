//! Apple Push Notification service, by provider token.
//!
//! Sources: Apple's developer documentation, "Sending notification requests to APNs" (method, headers, limits),
//! "Establishing a token-based connection to APNs" (ES256, renewed between 20 and 60 minutes) and "Handling notification
//! responses from APNs" (statuses and reasons).

use std::fmt;
use std::sync::Arc;

use super::credential::Credential;
use super::standing::{Standing, Verdict};
use super::transport::Transport;
use super::{Endpoint, VendorError};
use crate::clock::Clock;
use crate::config::{ApnsConfig, ApnsEnvironment};
use crate::push::{Notification, PushAnswer};

mod provider_token;
mod request;
mod verdict;

use provider_token::{ProviderTokens, signing_key};
use request::Request;

/// Sends to Apple's devices.
pub(super) struct Apns {
    base: String,
    topic: String,
    tokens: ProviderTokens,
    transport: Transport,
    standing: Standing,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Apns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Apns({} at {})", self.topic, self.base)
    }
}

/// Returns the address of one of Apple's services.
fn address(environment: ApnsEnvironment) -> &'static str {
    match environment {
        ApnsEnvironment::Production => "https://api.push.apple.com",
        ApnsEnvironment::Sandbox => "https://api.sandbox.push.apple.com",
    }
}

impl Apns {
    pub(super) fn open(
        config: &ApnsConfig,
        endpoint: Option<&Endpoint>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VendorError> {
        let key = Credential::open(&config.key_file, "an ECDSA P-256 key in PKCS #8 PEM", signing_key, clock.now())?;
        let base = endpoint.map_or_else(|| address(config.environment), |endpoint| &endpoint.base);
        Ok(Self {
            base: base.to_owned(),
            topic: config.topic.clone(),
            tokens: ProviderTokens::new(key, config.key_id.clone(), config.team_id.clone()),
            transport: Transport::http2(endpoint)?,
            standing: Standing::new("APNs"),
            clock,
        })
    }

    pub(super) async fn deliver(&self, token: &str, notification: &Notification) -> PushAnswer {
        let Some(request) = Request::new(token, &self.topic, notification, self.clock.now()) else {
            return PushAnswer::InvalidToken { reason: "not a device token".to_owned(), since: None };
        };
        let mut verdict = self.attempt(&request).await;
        // The clocks differ, or the machine slept: a new token may do, where it is time for one.
        if matches!(verdict, Verdict::Stale { .. }) && self.tokens.give_up(self.clock.now()) {
            verdict = self.attempt(&request).await;
        }
        self.standing.answer(verdict)
    }

    async fn attempt(&self, request: &Request) -> Verdict {
        let Some(authorization) = self.tokens.current(self.clock.now()) else {
            return Verdict::Misconfigured { reason: "the signing key does not sign".to_owned() };
        };
        match self.transport.send(|client| request.build(client, &self.base, &authorization)).await {
            Ok(reply) => verdict::judge(&reply, self.clock.now()),
            Err(reason) => Verdict::later(reason, None),
        }
    }
}
