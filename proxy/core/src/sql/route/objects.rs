//! What belongs to a session: prepared names, advisory locks, notifications.

use super::super::analysis::{Advisory, AdvisoryCall, NotificationCommand, Refusal, TwoPhase};
use super::{Goes, Route};

/// PREPARE; what it prepares comes on top.
pub(super) fn prepare() -> Route {
    Route::new("by name", "", Goes::Lead).with(
        "because",
        "wherever the name is executed, the PREPARE that makes it goes in front, if it does not stand there",
    )
}

/// EXECUTE of a name that nobody here knows.
pub(super) fn execute() -> Route {
    Route::new("by name", "that of the prepared statement", Goes::AnyMember)
        .with("because", "what it executes was said by a PREPARE that only its session knows")
}

/// DEALLOCATE.
pub(super) fn deallocate() -> Route {
    Route::new("by name", "", Goes::EveryConnection).with("because", "the name is closed wherever it stands")
}

/// A function of advisory locks.
pub(super) fn advisory(advisory: &Advisory) -> Route {
    match advisory.call {
        AdvisoryCall::Lock { transaction: true, .. } => {
            Route::new("advisory lock", "of the transaction", Goes::LeadThenFollowers)
                .with("because", "the lead decides who gets it; it is part of the transcript, and not of the recovery log")
                .with("followers", "the same lock, if the lead has given it")
        }
        AdvisoryCall::Lock { transaction: false, .. } => {
            Route::new("advisory lock", "of the session", Goes::EveryConnection)
                .with("because", "the lead decides who gets it, then every connection of the session takes it, before the client is answered")
        }
        AdvisoryCall::Unlock { .. } | AdvisoryCall::UnlockAll => {
            Route::new("advisory lock", "given back", Goes::EveryConnection)
                .with("because", "it is given back on the lead first, then on every connection of the session")
        }
    }
}

/// LISTEN, UNLISTEN, NOTIFY.
pub(super) fn notification(command: &NotificationCommand) -> Route {
    let because = match command {
        NotificationCommand::Listen(_) | NotificationCommand::Unlisten(_) => {
            "the proxy does it when the transaction has committed on every member"
        }
        NotificationCommand::Notify { .. } | NotificationCommand::Function { .. } => {
            "the proxy delivers it to the sessions that listen, when the transaction has committed on every member"
        }
    };
    Route::new("notification", "", Goes::Nowhere).with("because", because)
}

/// PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED.
pub(super) fn two_phase(command: &TwoPhase, refusal: &Refusal) -> Route {
    let otherwise = format!("refused: {}", refusal.reason);
    let (goes, failed) = match command {
        TwoPhase::Prepare => (Goes::Lead, "it is ROLLBACK"),
        TwoPhase::Finish { .. } => (Goes::Nowhere, ""),
    };
    Route::new("two-phase", "", goes)
        .with("because", "where the lead has max_prepared_transactions = 0, the answer is PostgreSQL's error")
        .with("where it is more", otherwise)
        .with("hint", refusal.hint.as_str())
        .with("in a failed block", failed)
}
