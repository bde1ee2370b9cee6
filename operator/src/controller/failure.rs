//! What a failed call to the API server means for a cluster.

use kube::Error;

use crate::status::{ConditionReason, Obstacle};

/// Says what is in the way. `what` is the object, `resource` its kind in paths.
pub(super) fn obstacle(what: &str, resource: &str, namespace: &str, error: &Error) -> Obstacle {
    let Error::Api(status) = error else { return unreachable(what, error) };
    match status.code {
        403 if status.message.contains("is being terminated") => Obstacle {
            reason: ConditionReason::RefusedByApiServer.name().to_owned(),
            message: format!("{what}: namespace {namespace} is being deleted"),
            passes: false,
        },
        403 if status.message.contains("cannot") => Obstacle {
            reason: ConditionReason::MissingRBAC.name().to_owned(),
            message: format!(
                "{what}: the operator may not use {resource} in namespace {namespace}; an administrator grants it by \
                 `chat-operator rbac --namespace {namespace} | kubectl apply -f -`"
            ),
            passes: false,
        },
        400 | 403 | 404 | 422 => Obstacle {
            reason: ConditionReason::RefusedByApiServer.name().to_owned(),
            message: format!("{what}: {}", status.message),
            passes: false,
        },
        _ => unreachable(what, error),
    }
}

/// Says that a call may succeed when it is repeated.
pub(super) fn unreachable(what: &str, error: &Error) -> Obstacle {
    Obstacle {
        reason: ConditionReason::Unreachable.name().to_owned(),
        message: format!("{what}: {error}"),
        passes: true,
    }
}
