//! The recovery log has a size. Members that hold it back for longer than it may hold are left behind, and told so.
//!
//! A member that is out needs the log from its floor on. When the log has outgrown `log.size_max`, those that lack most are
//! marked `behind_log`, durably, before anything that they lack is forgotten: from then on only a rebuild brings
//! them back, and none is ever brought back with a hole. Members that take part never hold the log back beyond one change of
//! turns ([`crate::rejoin::rotation`]). If nobody can be left behind, the log grows on: no write is refused for its size.

use raidb_core::ids::MemberId;
use raidb_core::log::{Holder, Position, RecordKind, left_behind};
use raidb_core::member::{Answer, MemberState, Reason};

use super::{VirtualDatabase, start};
use crate::fault_points::FaultPoint;
use crate::recovery_log::LogError;

impl VirtualDatabase {
    /// Whether the recovery log is larger than the configuration allows.
    #[must_use]
    pub fn log_is_over_size(&self) -> bool {
        self.journal.extent(Position::START).bytes > self.settings.log_size_max
    }

    /// Up to where each member holds everything, as far as that is known, in the order of members.
    pub(super) fn known_floors(&self) -> Vec<Option<Position>> {
        self.floors.lock().clone()
    }

    /// Members that the log is kept for.
    fn holders(&self) -> Vec<Holder<MemberId>> {
        let states = self.membership.states();
        let floors = self.known_floors();
        let all = (0..).map(MemberId).zip(states.into_iter().zip(floors));
        let holders = all.filter_map(|(member, (state, floor))| match state {
            MemberState::Disabled { reason, .. } if !reason.contents_are_known() => None,
            MemberState::Disabled { .. } => Some(Holder { member, floor, is_out: true }),
            _ => Some(Holder { member, floor, is_out: false }),
        });
        holders.collect()
    }

    /// Everything up to here is on every member that may still be brought back from the log. `None`: not known of one.
    fn lowest_floor(&self) -> Option<Position> {
        let floors: Option<Vec<Position>> = self.holders().into_iter().map(|holder| holder.floor).collect();
        floors?.into_iter().min()
    }

    /// Forgets what no member needs that may be brought back from the log; if that leaves it larger than `log.size_max`,
    /// members that are out are left behind first. Call while no member rejoins or is copied.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn shorten_log(&self) -> Result<(), LogError> {
        let size_max = self.settings.log_size_max;
        for member in left_behind(&self.holders(), size_max, |before| self.journal.extent(before).bytes) {
            self.leave_behind(member).await?;
        }
        if let Some(floor) = self.lowest_floor() {
            let before = self.promise_tokens(floor.next()).await?;
            self.faults.reach(FaultPoint::RotateBeforeTruncate).await;
            self.journal.truncate(before).await?;
            self.faults.reach(FaultPoint::RotateDone).await;
        }
        if self.log_is_over_size() {
            tracing::warn!(
                virtual_database = self.name,
                bytes = self.journal.extent(Position::START).bytes,
                size_max,
                "the recovery log is larger than log.size_max and cannot be shortened now; it grows on"
            );
        }
        Ok(())
    }

    /// Marks a member that is out: durably first, then visibly, and only then is the log cut off behind it.
    async fn leave_behind(&self, member: MemberId) -> Result<(), LogError> {
        let mut incident = self.incident(member, Reason::BehindLog);
        incident.position = self.known_floors().get(usize::from(member.0)).copied().flatten().unwrap_or_default();
        let detail = format!(
            "it holds everything up to {}, and the recovery log is larger than log.size_max ({} bytes)",
            incident.position, self.settings.log_size_max
        );
        tracing::error!(member = incident.member, todo = incident.what_to_do, "left behind: {detail}");
        incident.answers.push(Answer { member: incident.member.clone(), answer: detail });
        // Who takes part does not change: no new epoch.
        let record = start::disabled_record(&incident, incident.position, self.epoch());
        self.journal.note(RecordKind::MemberChange, record.encode()).await?;
        if self.membership.fall_behind(member) {
            self.keep_incident(incident);
        }
        Ok(())
    }
}
