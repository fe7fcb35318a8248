//! Fault points inside a session: what a test asks for there is done to this session's own connections.

use raidb_core::ids::MemberId;

use super::Session;
use crate::fault_points::FaultPoint;

#[cfg(not(feature = "fault-points"))]
impl Session {
    /// A place at which a test may make something fail.
    #[inline(always)]
    pub(super) async fn reach(&mut self, _point: FaultPoint) {}

    /// A place between two members' COMMITs.
    #[inline(always)]
    pub(super) async fn reach_between(&mut self, _lead: MemberId, _to_lead: FaultPoint, _to_follower: FaultPoint) {}

    /// Whether a test has one follower alone commit: then the transaction must not stand in the queues of the others.
    #[inline(always)]
    pub(super) fn tested_on_one_follower(&self) -> bool {
        false
    }
}

#[cfg(feature = "fault-points")]
impl Session {
    /// A place at which a test may make something fail.
    pub(super) async fn reach(&mut self, point: FaultPoint) {
        let faults = self.database.faults.clone();
        for action in faults.hit(point).unwrap_or_default() {
            self.act(point, action).await;
        }
    }

    /// A place between two members' COMMITs: before a crash there, the lead or one follower is sent its own.
    pub(super) async fn reach_between(&mut self, lead: MemberId, to_lead: FaultPoint, to_follower: FaultPoint) {
        let faults = self.database.faults.clone();
        if let Some([Action::Crash, ..]) = faults.hit(to_lead) {
            self.send_commit(lead);
            self.crash(to_lead).await;
        }
        if let Some([Action::Crash, ..]) = faults.hit(to_follower) {
            match self.view.members().find(|m| *m != lead) {
                Some(follower) if to_follower == FaultPoint::AtOnceSentToFollower => self.send_whole(&[follower]),
                Some(follower) => self.send_commit(follower),
                None => {}
            }
            self.crash(to_follower).await;
        }
    }

    /// Whether a test has one follower alone commit: then the transaction must not stand in the queues of the others.
    pub(super) fn tested_on_one_follower(&self) -> bool {
        self.database.faults.is_planned(FaultPoint::AtOnceSentToFollower)
    }

    async fn act(&mut self, point: FaultPoint, action: &Action) {
        let lead = self.lead();
        match action {
            Action::Crash => self.crash(point).await,
            Action::Pause(time) => self.drive(tokio::time::sleep(*time)).await,
            Action::CutLead => self.cut(|member, _| member == lead),
            Action::CutFollowers => self.cut(|member, _| member != lead),
            Action::CutMember(name) => self.cut(|_, named| named == name),
            Action::Full | Action::FsyncError | Action::ShortWrite => {}
        }
    }

    /// Ends the process, behind what was written: otherwise "sent" would be said of what is still in a buffer.
    async fn crash(&mut self, point: FaultPoint) {
        for slot in &mut self.slots {
            if let Some(link) = slot.link.as_mut() {
                let _broken = poll_fn(|cx| link.poll_flush(cx)).await;
            }
        }
        tokio::time::sleep(SENT_PAUSE).await;
        crash(point)
    }

    fn cut(&self, which: impl Fn(MemberId, &str) -> bool) {
        for member in self.view.members().filter(|m| which(*m, &self.database.member(*m).target.name)) {
            if let Some(link) = &self.slots[usize::from(member.0)].link {
                link.cut();
            }
        }
    }
}

#[cfg(feature = "fault-points")]
use std::future::poll_fn;

#[cfg(feature = "fault-points")]
use crate::fault_points::{Action, crash};

/// Between the last write and a crash: what was sent arrives.
#[cfg(feature = "fault-points")]
const SENT_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);
