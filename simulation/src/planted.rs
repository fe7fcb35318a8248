//! Bugs that this project has had, or would have without one of its rules, put back on wish: the simulation must find each.

use clap::ValueEnum;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Planted {
    /// Nothing: the project as it is.
    #[default]
    None,
    /// Rule 2 left out: a follower does not wait for commits in flight before it runs a statement.
    NoBarrier,
    /// Rule 3 left out: what is undone on the lead is not undone on followers.
    UndoneGoesOn,
    /// The client is told when the first member has committed.
    EarlyAnswer,
    /// COMMIT leaves beside the flush of its intent, not behind it.
    CommitBeforeIntent,
    /// A change of lead does not wait for what the old lead had answered.
    NoDrain,
    /// The marker is not in the transaction of its data.
    MarkerApart,
    /// A change of view between agreement and registration is not looked at again.
    NoSecondLook,
    /// A member leaves the view before that is durable.
    LeavesBeforeRecord,
    /// A commit is acknowledged without a member whose leaving the failed log could not record.
    LeavesUnrecorded,
    /// A lead that was lost, came back and leads again is taken to have what it had answered before.
    LeadBack,
    /// A withdrawn intent is forgotten, and not taken back in the log.
    NotWithdrawn,
}
