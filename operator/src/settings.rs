//! From fields of a manifest to settings of the processes: what a cluster and a local stack have in common. Pure.

use chat_core::config::{Algorithm, DrainConfig, KeySource, Limits, Rate, Verifier};

use crate::crd;

/// Returns the settings of a verifier whose keys are there.
pub fn verifier(verifier: &crd::Verifier, keys: KeySource) -> Verifier {
    Verifier {
        name: verifier.name.clone(),
        user_claim: verifier.user_claim().to_owned(),
        algorithms: verifier.algorithms().into_iter().map(algorithm).collect(),
        issuer: verifier.issuer.clone(),
        audience: verifier.audience.clone(),
        leeway_seconds: verifier.leeway().as_secs(),
        keys,
    }
}

const fn algorithm(algorithm: crd::Algorithm) -> Algorithm {
    match algorithm {
        crd::Algorithm::Hs256 => Algorithm::HS256,
        crd::Algorithm::Rs256 => Algorithm::RS256,
        crd::Algorithm::Rs384 => Algorithm::RS384,
        crd::Algorithm::Rs512 => Algorithm::RS512,
        crd::Algorithm::Es256 => Algorithm::ES256,
        crd::Algorithm::Es384 => Algorithm::ES384,
        crd::Algorithm::EdDsa => Algorithm::EdDSA,
    }
}

/// Returns the verifier where the manifest names none: one shared key.
pub fn only_verifier(name: &str, keys: KeySource) -> Verifier {
    Verifier {
        name: name.to_owned(),
        user_claim: "sub".to_owned(),
        algorithms: vec![Algorithm::HS256],
        issuer: None,
        audience: None,
        leeway_seconds: 30,
        keys,
    }
}

/// Returns how connections are moved off.
pub fn drain(drain: &crd::Drain) -> DrainConfig {
    DrainConfig {
        deadline_seconds: drain.deadline().as_secs(),
        reconnects_per_second: drain.reconnects_per_second(),
        settle_seconds: drain.settle().as_secs(),
    }
}

/// Returns what is bounded.
pub fn limits(limits: &crd::Limits) -> Limits {
    let rate = |rate: crd::Rate| Rate::new(rate.per_second, rate.burst);
    let limits = limits.resolved();
    Limits {
        frame_bytes: size(limits.frame_bytes),
        content_bytes: size(limits.content_bytes),
        meta_bytes: size(limits.meta_bytes),
        sends_per_user: rate(limits.sends_per_user),
        sends_per_chat: rate(limits.sends_per_chat),
        frames_per_session: rate(limits.frames_per_session),
        typing_per_minute: limits.typing_per_minute,
        receipts_per_second: limits.receipts_per_second,
        sessions_per_user: size(limits.sessions_per_user),
        auth_seconds: limits.auth.as_secs(),
        queue_bytes: size(limits.queue_bytes),
        group_members: limits.group_members.into(),
        chats_per_user: size(limits.chats_per_user),
        presence_subscriptions: size(limits.presence_subscriptions),
    }
}

/// The crate runs on machines where a `usize` holds any `u32`.
pub fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
