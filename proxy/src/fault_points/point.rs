//! The list of fault points: name and what may be done there. In the order in which a transaction, a member's return, a
//! start and a truncation reach them.

/// What may be asked for at a point, beside a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing else: the point is inside of something that cannot wait.
    CrashAlone,
    /// A pause.
    Pause,
    /// A pause, and the session's connections cut.
    Cuts,
    /// Errors of the log's disk.
    DiskErrors,
}

macro_rules! points {
    ($($variant:ident = $name:literal, $takes:ident, $about:literal;)*) => {
        /// A place in the code at which a test can make something fail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum FaultPoint {
            $(#[doc = $about] $variant,)*
        }

        impl FaultPoint {
            /// All of them.
            pub const ALL: &[FaultPoint] = &[$(FaultPoint::$variant,)*];

            /// Name in `RAIDB_FAULT`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(FaultPoint::$variant => $name,)* }
            }

            /// What may be done there.
            #[must_use]
            pub fn takes(self) -> Takes {
                match self { $(FaultPoint::$variant => Takes::$takes,)* }
            }
        }
    };
}

points! {
    SessionMeaning = "session.meaning", Cuts, "In a transaction a setting was answered; what names mean now is about to be asked.";
    CombinedAnswered = "combined.answered", Cuts, "INSERTs of several sessions were answered by the lead; nothing is in the log.";
    CombinedCommitted = "combined.committed", Pause, "INSERTs of several sessions are committed; no client was told.";
    CommitBeforeTicket = "commit.before_ticket", Cuts, "All followers have agreed; no ticket yet.";
    AtOnceBeforeTicket = "at_once.before_ticket", Cuts, "One INSERT, of which no follower has heard; no ticket yet.";
    CommitRegistering = "commit.registering", Pause, "All is agreed; the ticket is about to be registered. A pause stops the thread.";
    CommitBeforeIntent = "commit.before_intent", Cuts, "The ticket is registered; nothing is in the log.";
    CommitIntentDurable = "commit.intent_durable", Cuts, "The intent is durable; no COMMIT was sent.";
    CommitSentToLead = "commit.sent_to_lead", CrashAlone, "COMMIT went to the lead alone.";
    CommitSentToFollower = "commit.sent_to_follower", CrashAlone, "COMMIT went to one follower alone.";
    CommitSentToAll = "commit.sent_to_all", Cuts, "COMMIT went to all members.";
    AtOnceSentToLead = "at_once.sent_to_lead", CrashAlone, "One INSERT: COMMIT went to the lead, no follower has heard.";
    AtOnceSentToFollower = "at_once.sent_to_follower", CrashAlone, "One INSERT: one follower has it, the lead not.";
    AtOnceSentToAll = "at_once.sent_to_all", Cuts, "One INSERT: all members have been sent it.";
    CommitSentToCertify = "commit.sent_to_certify", CrashAlone, "SERIALIZABLE: COMMIT went to the lead; its answer was not read.";
    CommitCertified = "commit.certified", Cuts, "SERIALIZABLE: the lead has committed; no follower was told.";
    CommitFirstAnswer = "commit.first_answer", CrashAlone, "A member has answered COMMIT.";
    CommitAllAnswered = "commit.all_answered", Pause, "All members have answered; the journal does not know.";
    CommitFinished = "commit.finished", Pause, "The journal knows; the client was not told.";
    AbortBeforeOutcome = "abort.before_outcome", Pause, "COMMIT was refused; that is not in the log.";
    AbortOutcomeDurable = "abort.outcome_durable", Pause, "The refusal is durable; the client was not told.";
    SessionConnected = "session.connected", Pause, "A connection to a member is open; the session does not use it yet.";
    SessionReady = "session.ready", Pause, "The client was sent its answer.";
    LeaveBeforeRecord = "leave.before_record", Pause, "A member is claimed to leave; nothing is in the log.";
    LeaveRecorded = "leave.recorded", Pause, "That the member is disabled is durable; no member was told the epoch.";
    EpochTold = "member.epoch_told", Pause, "A member was told the new epoch.";
    LeaveBeforeView = "leave.before_view", Pause, "All members know the epoch; the view still has the member.";
    RejoinFenced = "rejoin.fenced", Pause, "Old sessions on the member that comes back are gone.";
    ApplyBeforeCommit = "apply.before_commit", Pause, "A batch of intents ran on a member and is not committed.";
    ApplyCommitted = "apply.committed", Pause, "A batch of intents is committed on a member.";
    RejoinFollowed = "rejoin.followed", Pause, "New commits are pending on the member that comes back.";
    RejoinBeforeRecord = "rejoin.before_record", Pause, "It is close enough to join; nothing is in the log.";
    RejoinRecorded = "rejoin.recorded", Pause, "That it is enabled is durable; it does not know the epoch.";
    RejoinJoined = "rejoin.joined", Pause, "It is in the view; commits of others are still missing there.";
    RejoinBeforeCaughtUp = "rejoin.before_caught_up", Pause, "It holds everything; it still counts as followed.";
    StartFenced = "start.fenced", Pause, "At the start: sessions of the earlier proxy are gone on a member.";
    StartRedone = "start.redone", Pause, "At the start: a member holds what the log says; its sequences are old.";
    StartSequencesRaised = "start.sequences_raised", Pause, "At the start: a member's sequences are raised.";
    StartFloorRaised = "start.floor_raised", Pause, "At the start: a member's floor is raised, its epoch is old.";
    StartMemberDone = "start.member_done", Pause, "At the start: a member is done; the next one is not.";
    StartBeforeOpening = "start.before_opening", Pause, "At the start: all members are equal; no client is served.";
    RotateTurnsChanged = "rotate.turns_changed", Pause, "The marker tables have changed turns.";
    RotateFloorRaised = "rotate.floor_raised", Pause, "A member's floor is raised and its old markers are gone.";
    RotateBeforeTruncate = "rotate.before_truncate", Pause, "All floors are raised; the log is whole.";
    RotateDone = "rotate.done", Pause, "The log is truncated.";
    LogCreate = "log.create", DiskErrors, "A segment is about to be created.";
    LogAppend = "log.append", DiskErrors, "Records are about to be written.";
    LogFlush = "log.flush", DiskErrors, "Records are written and about to be flushed.";
    LogRemove = "log.remove", DiskErrors, "The checkpoint is durable; a segment is about to be removed.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ() {
        let mut names: Vec<_> = FaultPoint::ALL.iter().map(|point| point.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FaultPoint::ALL.len());
    }
}
