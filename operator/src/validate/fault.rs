//! What is wrong with a cluster, and what may surprise its owner.

use std::fmt;

use serde::Serialize;

use crate::reasons::reasons;

reasons! {
    /// Says why a cluster is refused.
    FaultReason {
        UnsupportedVersion => "This operator does not run that version: it runs its own minor version and the one before.",
        EngineMissing => "No engine is given, or one that a full cluster needs is missing.",
        SecretNotFound => "A Secret that is named does not exist in the cluster's namespace.",
        SecretKeyNotFound => "A Secret has no such key.",
        SecretTooShort => "A key of a Secret is too short to be safe.",
        InvalidAddress => "A port or an address range cannot exist.",
        ApiNotInstalled => "The cluster does not have the API that is asked for.",
        TooManyReplicas => "More replicas are asked for than there are nodes or partitions.",
        ShardsCannotVote => "Of two Redis shards neither can outvote the other.",
    }
}

reasons! {
    /// Says what may surprise in a cluster that is taken.
    LintReason {
        DrainTooShort => "A drain at that pace ends before a full gateway is empty; the rest is closed.",
        IdleSequencers => "There are more sequencers than partitions; the rest wait.",
        NoFailover => "One pod of its kind: its restart interrupts.",
        PlainPassword => "A password travels without TLS.",
        MutableImage => "An image tag may change under the same name; restarts then bring another build.",
        HasNoEffect => "The field has no effect together with another one.",
        NotConfirmed => "Deletion keeps the data until the confirming annotation is there.",
    }
}

/// Names one thing that is wrong with a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Field, as in `spec.gateways.auth.verifiers[0].hs256.secretRef`.
    pub path: String,
    /// Which of the documented reasons.
    pub reason: FaultReason,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Fault {
    pub(super) fn new(path: impl Into<String>, reason: FaultReason, message: impl Into<String>) -> Self {
        Self { path: path.into(), reason, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} ({})", self.path, self.message, self.reason)
    }
}

/// Names one thing that may surprise in a cluster that is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Field, as in `spec.gateways.drain`.
    pub path: String,
    /// Which of the documented reasons.
    pub reason: LintReason,
    /// What may surprise, and what to do about it.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} ({})", self.path, self.message, self.reason)
    }
}
