//! A member comes back while clients are at work, or the last one after a loss: mirrors `rejoin/back.rs` and
//! `rejoin/startup.rs` (`last_member_back`).

use raidb_core::ids::CommitSeq;
use raidb_core::log::{Position, RecordKind};
use raidb_core::member::{MemberState, Reason, WayBack};

use super::applier::{Applying, Replay};
use super::in_flight::Member;
use crate::disk::{AppendId, Appended};
use crate::world::World;

#[derive(Clone, Debug)]
enum Stage {
    CatchUp,
    /// No intent may be withdrawn any more.
    Provisional(Vec<CommitSeq>),
    Closed(Vec<CommitSeq>),
    Settled(Position),
    Near,
    Record(AppendId),
    Others(Vec<CommitSeq>),
    OthersSettled(Position),
    Last,
}

/// A member on its way back.
#[derive(Clone, Debug)]
pub struct Rejoin {
    pub member: Member,
    stage: Stage,
    replay: Replay,
    joined: bool,
}

/// The last member is made equal to the log.
#[derive(Clone, Debug)]
pub struct LastBack {
    pub member: Member,
    replay: Option<Replay>,
    end: Position,
}

impl World {
    /// A member that is out, answers, and may come back by itself. True if it begins to.
    pub fn begin_rejoin(&mut self, member: Member) -> bool {
        let may = self.shared.membership.reason_out(member).and_then(Reason::way_back) == Some(WayBack::Rejoin);
        let free = self.rejoin.is_none() && self.last_back.is_none() && !self.shared.membership.view.down;
        let going = self.leaving.iter().any(|leaving| leaving.member == member);
        if !may || !free || going || self.shared.writes_stopped || !self.servers[member].answers() {
            return false;
        }
        if !self.shared.membership.start_rejoin(member) {
            return false;
        }
        self.trace.add(self.now, "rejoin", [member as u64, 0, 0], String::new);
        self.servers[member].fence();
        let applied = self.servers[member].applied();
        if applied.last() > self.disk.end() {
            self.violation(format!("member {member} holds {}, the log ends at {}", applied.last(), self.disk.end()));
        }
        if self.servers[member].epoch > self.shared.journal.epoch {
            self.violation(format!("member {member} is of a newer epoch than the log"));
        }
        let replay = Replay::new(member, applied);
        self.rejoin = Some(Rejoin { member, stage: Stage::CatchUp, replay, joined: false });
        true
    }

    /// Its turn. True if something happened.
    pub fn step_rejoin(&mut self) -> bool {
        let Some(mut rejoin) = self.rejoin.take() else { return false };
        let lost = self.shared.membership.view.down || (rejoin.joined && !self.is_enabled(rejoin.member));
        match rejoin.step(self).filter(|_| !lost) {
            Some(Applying::Working(happened)) => {
                self.rejoin = Some(rejoin);
                happened
            }
            Some(Applying::Done) => {
                rejoin.replay.close(self);
                self.shared.membership.caught_up(rejoin.member);
                self.shared.in_flight.caught_up(rejoin.member);
                self.counts.rejoined += 1;
                self.trace.add(self.now, "rejoined", [rejoin.member as u64, 0, 0], String::new);
                true
            }
            Some(Applying::Failed) | None => {
                rejoin.replay.close(self);
                self.trace.add(self.now, "rejoin failed", [rejoin.member as u64, 0, 0], String::new);
                if rejoin.joined {
                    self.disable(rejoin.member, Reason::LostConnection);
                } else {
                    self.shared.membership.rejoin_failed(rejoin.member, None);
                    self.shared.in_flight.member_gone(rejoin.member);
                }
                true
            }
        }
    }

    fn is_enabled(&self, member: Member) -> bool {
        self.shared.membership.view.is_enabled(member)
    }

    /// The last member answers again: nobody is served before it has everything. True if something happened.
    pub fn step_last_back(&mut self) -> bool {
        let lead = self.shared.membership.view.lead;
        let Some(mut back) = self.last_back.take() else {
            let begins =
                self.shared.membership.waits_for(lead) && self.servers[lead].answers() && self.rejoin.is_none();
            if begins {
                self.last_back = Some(LastBack { member: lead, replay: None, end: Position::START });
            }
            return begins;
        };
        if !self.shared.membership.waits_for(back.member) || self.shared.writes_stopped {
            return true;
        }
        let Some(replay) = &mut back.replay else {
            let in_flight = &self.shared.in_flight;
            let closed = in_flight.active().iter().all(|seq| in_flight.is_closed(*seq)) && !in_flight.any_provisional();
            if closed && self.servers[back.member].answers() {
                self.servers[back.member].fence();
                let mut replay = Replay::new(back.member, self.servers[back.member].applied());
                back.end = self.disk.end();
                replay.aim(back.end, false, self);
                back.replay = Some(replay);
            }
            self.last_back = Some(back);
            return closed;
        };
        match replay.step(self) {
            Applying::Working(happened) => {
                self.last_back = Some(back);
                happened
            }
            Applying::Failed => {
                replay.close(self);
                true
            }
            Applying::Done => {
                replay.close(self);
                let (member, end) = (back.member, back.end);
                self.servers[member].raise_floor(end);
                self.shared.journal.finish_all(end);
                self.shared.membership.caught_up(member);
                self.shared.in_flight.caught_up(member);
                let journal = &self.shared.journal;
                self.shared.tokens.settled(end, self.now, |position| journal.is_aborted(position));
                let up = self.shared.membership.up(member);
                self.trace.add(self.now, "last member back", [member as u64, u64::from(up), 0], String::new);
                true
            }
        }
    }
}

impl Rejoin {
    fn apply(&mut self, w: &mut World) -> Option<Applying> {
        let applying = self.replay.step(w);
        if matches!(self.stage, Stage::Near | Stage::Last) {
            w.shared.in_flight.applied(self.member, self.replay.at.0);
        }
        w.shared.membership.rejoin_progress(self.member, self.replay.at);
        Some(applying)
    }

    /// `None`: it failed.
    fn step(&mut self, w: &mut World) -> Option<Applying> {
        if !w.servers[self.member].answers() && w.servers[self.member].down_since.is_some() {
            return None;
        }
        let worked = Some(Applying::Working(true));
        let waits = Some(Applying::Working(false));
        match self.stage.clone() {
            Stage::CatchUp => {
                self.replay.aim(w.shared.journal.settled(), false, w);
                match self.apply(w)? {
                    Applying::Done => {
                        let before = w.shared.in_flight.follow(self.member);
                        self.stage = Stage::Provisional(before);
                        worked
                    }
                    other => Some(other),
                }
            }
            Stage::Provisional(_) if w.shared.in_flight.any_provisional() => waits,
            Stage::Provisional(before) => self.go(Stage::Closed(before)),
            Stage::Closed(before) if !before.iter().all(|seq| w.shared.in_flight.is_closed(*seq)) => waits,
            Stage::Closed(_) => self.go(Stage::Settled(w.disk.end())),
            Stage::Settled(to) if w.shared.journal.settled() < to => waits,
            Stage::Settled(to) => {
                self.replay.aim(to, false, w);
                self.go(Stage::Near)
            }
            Stage::Near => match self.apply(w)? {
                Applying::Done => {
                    let record = w.change(self.member, MemberState::Enabled);
                    self.go(Stage::Record(w.disk.append(RecordKind::MemberChange, record.encode())))
                }
                other => Some(other),
            },
            Stage::Record(id) => match w.disk.take(id) {
                None => waits,
                Some(Appended::Durable(position)) => {
                    w.shared.journal.finish(position);
                    w.take_in_epoch();
                    w.tell_epoch(usize::MAX);
                    let epoch = w.shared.journal.epoch;
                    w.servers[self.member].epoch = epoch;
                    if let Err(illegal) = w.shared.membership.join(self.member) {
                        w.violation(illegal);
                    }
                    self.joined = true;
                    let others = w.shared.in_flight.join(self.member);
                    w.trace.add(w.now, "joined", [self.member as u64, 0, 0], String::new);
                    self.go(Stage::Others(others))
                }
                Some(Appended::Full) => None,
                Some(Appended::Failed) => {
                    w.stop_writes();
                    None
                }
            },
            Stage::Others(others) if !others.iter().all(|seq| w.shared.in_flight.is_closed(*seq)) => waits,
            Stage::Others(_) => self.go(Stage::OthersSettled(w.disk.end())),
            Stage::OthersSettled(to) if w.shared.journal.settled() < to => waits,
            Stage::OthersSettled(to) => {
                self.replay.aim(to, true, w);
                self.go(Stage::Last)
            }
            Stage::Last => self.apply(w),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "what a step that worked gives")]
    fn go(&mut self, stage: Stage) -> Option<Applying> {
        self.stage = stage;
        Some(Applying::Working(true))
    }
}
