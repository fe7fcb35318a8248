//! Who takes part, who leads, and the barrier that a change of lead is.
//!
//! **Disabling is durable before it is visible.** A member leaves in two steps: [`Membership::start_leaving`]
//! claims it, the caller makes the record durable, [`Membership::finish_leaving`] publishes the new view.
//! Sessions acknowledge commits by the members of the view that they see, so no acknowledgement without the member can
//! leave before the record is on disk (DESIGN.md §5).
//!
//! **Change of lead is a barrier** (DESIGN.md §3). Every transaction that uses the lead is counted under the
//! epoch in which it does. When the lead changes, each such session first lets everything that the old lead had
//! answered complete on its followers, then moves its count to the new epoch. Nobody sends anything to the new
//! lead while an older epoch has a count: otherwise a statement that is run again could overtake an answered one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use raidb_core::ids::{LeadEpoch, MemberId};
use raidb_core::log::Position;
use raidb_core::member::{MemberInput, MemberState, Reason};

/// Members as everybody sees them at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Grows with every change.
    pub version: u64,
    /// Bit n: member n is enabled.
    pub enabled: u32,
    /// The lead. Always an enabled member.
    pub lead: MemberId,
    /// Grows with every change of lead.
    pub lead_epoch: LeadEpoch,
    /// The only enabled member does not answer: there is nobody to work with until it comes back.
    pub down: bool,
    /// How often each member has joined: connections from before are of no use, also to who has not seen it leave.
    pub joins: Vec<u32>,
}

impl View {
    /// How often a member has joined.
    #[must_use]
    pub fn joins(&self, member: MemberId) -> u32 {
        self.joins.get(usize::from(member.0)).copied().unwrap_or(0)
    }

    /// Whether a member takes part.
    #[must_use]
    pub fn is_enabled(&self, member: MemberId) -> bool {
        self.enabled & (1 << member.0) != 0
    }

    /// Enabled members, lowest first.
    pub fn members(&self) -> impl Iterator<Item = MemberId> + use<> {
        let enabled = self.enabled;
        (0..32).map(MemberId).filter(move |m| enabled & (1 << m.0) != 0)
    }

    /// Enabled members without the lead.
    pub fn followers(&self) -> impl Iterator<Item = MemberId> + use<> {
        let lead = self.lead;
        self.members().filter(move |m| *m != lead)
    }
}

/// Answer to a wish to disable a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Claimed: make it durable, then finish.
    Claimed,
    /// It is out, or somebody else is about to take it out.
    Already,
    /// It is the last one: it stays.
    Last,
}

#[derive(Debug)]
struct Inner {
    states: Vec<MemberState>,
    /// Claimed by [`Membership::start_leaving`].
    leaving: u32,
    /// In the view, but some commits of others are still brought to them by the log: not to lead, if that can be helped.
    joining: u32,
    /// What members that rejoin were before: they are that again if it fails.
    before: BTreeMap<MemberId, MemberState>,
    /// Transactions that use the lead, by epoch.
    active: BTreeMap<LeadEpoch, usize>,
}

/// See the module.
#[derive(Debug)]
pub struct Membership {
    inner: Mutex<Inner>,
    view: RwLock<Arc<View>>,
    version: AtomicU64,
}

impl Membership {
    /// Starts from the states that the log tells. At least one must be enabled.
    #[must_use]
    pub fn new(states: Vec<MemberState>) -> Self {
        let enabled = enabled_mask(&states);
        let lead = MemberId(u8::try_from(enabled.trailing_zeros().min(31)).unwrap_or(0));
        let view = View { version: 1, enabled, lead, lead_epoch: LeadEpoch(1), down: false, joins: Vec::new() };
        Membership {
            inner: Mutex::new(Inner {
                states,
                leaving: 0,
                joining: 0,
                before: BTreeMap::new(),
                active: BTreeMap::new(),
            }),
            view: RwLock::new(Arc::new(view)),
            version: AtomicU64::new(1),
        }
    }

    /// The present view.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }

    /// Its version, cheaply.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// States of all members.
    #[must_use]
    pub fn states(&self) -> Vec<MemberState> {
        self.inner.lock().states.clone()
    }

    /// One more member, in this state: not enabled. It gets the next number.
    pub fn add(&self, state: MemberState) {
        self.inner.lock().states.push(state);
    }

    /// First step of disabling.
    #[must_use]
    pub fn start_leaving(&self, member: MemberId) -> Leave {
        let mut inner = self.inner.lock();
        let bit = 1 << member.0;
        let staying = enabled_mask(&inner.states) & !inner.leaving;
        if staying & bit == 0 {
            return Leave::Already;
        }
        if staying == bit {
            return Leave::Last;
        }
        inner.leaving |= bit;
        Leave::Claimed
    }

    /// Second step, once the record is durable. Returns true if the lead changed.
    pub fn finish_leaving(&self, member: MemberId, reason: Reason, position: Position) -> bool {
        let mut inner = self.inner.lock();
        let state = inner.states[usize::from(member.0)];
        match state.transition(MemberInput::Disable(reason, position)) {
            Ok(next) => inner.states[usize::from(member.0)] = next,
            Err(illegal) => tracing::error!("impossible: {illegal}"),
        }
        inner.leaving &= !(1 << member.0);
        inner.joining &= !(1 << member.0);
        let enabled = enabled_mask(&inner.states);
        let staying = enabled & !inner.leaving;
        let complete = staying & !inner.joining;
        let mut lead_changed = false;
        self.publish(|view| {
            view.enabled = enabled;
            if view.lead == member {
                // Prefer a member that nobody is about to take out.
                let candidates = [complete, staying, enabled].into_iter().find(|mask| *mask != 0).unwrap_or(0);
                view.lead = MemberId(u8::try_from(candidates.trailing_zeros().min(31)).unwrap_or(0));
                view.lead_epoch = LeadEpoch(view.lead_epoch.0 + 1);
                lead_changed = true;
            }
        });
        lead_changed
    }

    /// A disabled member whose contents are known is brought up to date from now on. False: it is no such member.
    #[must_use]
    pub fn start_rejoin(&self, member: MemberId) -> bool {
        let mut inner = self.inner.lock();
        let before = inner.states[usize::from(member.0)];
        let Ok(next) = before.transition(MemberInput::Rejoin) else { return false };
        inner.states[usize::from(member.0)] = next;
        inner.before.insert(member, before);
        true
    }

    /// The log was applied up to here on a member that rejoins.
    pub fn rejoin_progress(&self, member: MemberId, position: Position) {
        let mut inner = self.inner.lock();
        let state = &mut inner.states[usize::from(member.0)];
        if let Ok(next) = state.transition(MemberInput::Applied(position)) {
            *state = next;
        }
    }

    /// It could not be brought up to date: it is disabled as before, or for a new reason.
    pub fn rejoin_failed(&self, member: MemberId, reason: Option<Reason>) {
        let mut inner = self.inner.lock();
        let before = inner.before.remove(&member);
        let state = &mut inner.states[usize::from(member.0)];
        let MemberState::Rejoining { position } = *state else { return };
        *state = match (reason, before) {
            (None, Some(MemberState::Disabled { reason, .. })) | (Some(reason), _) => {
                MemberState::Disabled { reason, position }
            }
            (None, _) => MemberState::Disabled { reason: Reason::Unreachable, position },
        };
    }

    /// The log is cut off behind a member that is out: from now on only a rebuild brings it back. Call when that is durable,
    /// while no rejoin can begin. False: it is no such member.
    #[must_use]
    pub fn fall_behind(&self, member: MemberId) -> bool {
        let mut inner = self.inner.lock();
        let Some(state) = inner.states.get_mut(usize::from(member.0)) else { return false };
        let Ok(next) = state.transition(MemberInput::FallBehind) else { return false };
        *state = next;
        true
    }

    /// A disabled member gets a copy of another one from now on. False: it is not disabled.
    #[must_use]
    pub fn start_rebuild(&self, member: MemberId) -> bool {
        let mut inner = self.inner.lock();
        let state = &mut inner.states[usize::from(member.0)];
        match state.transition(MemberInput::Rebuild) {
            Ok(next) => {
                *state = next;
                true
            }
            Err(_) => false,
        }
    }

    /// The copy is whole (and the member may rejoin), or it is not.
    pub fn rebuild_ended(&self, member: MemberId, reason: Reason) {
        let mut inner = self.inner.lock();
        inner.states[usize::from(member.0)] = MemberState::Disabled { reason, position: Position::START };
    }

    /// A member that rejoins becomes one like the others. Call within [`super::in_flight::InFlight::join`].
    pub fn join(&self, member: MemberId) {
        let mut inner = self.inner.lock();
        let state = &mut inner.states[usize::from(member.0)];
        match state.transition(MemberInput::CaughtUp) {
            Ok(next) => *state = next,
            Err(illegal) => tracing::error!("impossible: {illegal}"),
        }
        inner.joining |= 1 << member.0;
        let enabled = enabled_mask(&inner.states);
        self.publish(|view| {
            view.enabled = enabled;
            let at = usize::from(member.0);
            view.joins.resize(view.joins.len().max(at + 1), 0);
            view.joins[at] += 1;
        });
    }

    /// Whether a member of the view is still given, by the log, what others have committed.
    #[must_use]
    pub fn joining(&self, member: MemberId) -> bool {
        self.inner.lock().joining & (1 << member.0) != 0
    }

    /// A member that has joined holds everything.
    pub fn caught_up(&self, member: MemberId) {
        self.inner.lock().joining &= !(1 << member.0);
    }

    /// The last member does not answer.
    pub fn set_down(&self) {
        let _inner = self.inner.lock();
        if !self.view.read().down {
            self.publish(|view| view.down = true);
        }
    }

    /// Whether everybody waits for this member. While it is about to leave it is another one that is waited for, and what this
    /// one holds says nothing.
    #[must_use]
    pub fn waits_for(&self, member: MemberId) -> bool {
        let inner = self.inner.lock();
        self.is_waited_for(&inner, member)
    }

    fn is_waited_for(&self, inner: &Inner, member: MemberId) -> bool {
        let view = self.view.read();
        view.down && view.lead == member && inner.leaving & (1 << member.0) == 0
    }

    /// The member that was waited for holds everything: work goes on. False: it is not the one any more.
    #[must_use]
    pub fn up(&self, member: MemberId) -> bool {
        let inner = self.inner.lock();
        let up = self.is_waited_for(&inner, member);
        if up {
            self.publish(|view| view.down = false);
        }
        up
    }

    /// Publishes a change; the caller holds the inner lock, so that views follow one another.
    fn publish(&self, change: impl FnOnce(&mut View)) {
        let mut view = View::clone(&self.view.read());
        change(&mut view);
        view.version += 1;
        let version = view.version;
        *self.view.write() = Arc::new(view);
        self.version.store(version, Ordering::Release);
    }

    /// A transaction starts to use the lead: counted under the present epoch, which is returned with the view.
    #[must_use]
    pub fn enter(&self) -> Arc<View> {
        let mut inner = self.inner.lock();
        let view = self.view.read().clone();
        *inner.active.entry(view.lead_epoch).or_insert(0) += 1;
        view
    }

    /// It ends. True if an older epoch has become empty: then all sessions are to be woken.
    #[must_use]
    pub fn leave(&self, epoch: LeadEpoch) -> bool {
        let mut inner = self.inner.lock();
        release(&mut inner.active, epoch) && epoch < self.view.read().lead_epoch
    }

    /// Everything that the old lead had answered is complete on this session's followers: it is counted
    /// under the present epoch from now on. Returns the view, and whether all sessions are to be woken.
    #[must_use]
    pub fn migrate(&self, epoch: LeadEpoch) -> (Arc<View>, bool) {
        let mut inner = self.inner.lock();
        let view = self.view.read().clone();
        *inner.active.entry(view.lead_epoch).or_insert(0) += 1;
        let wake = release(&mut inner.active, epoch);
        (view, wake)
    }

    /// Whether nobody may use the present lead yet: a transaction of an epoch before this one has not moved, or the log still
    /// brings the lead what others have committed (whoever locked a table there first would wait for that, and be waited for).
    #[must_use]
    pub fn older_active(&self, epoch: LeadEpoch) -> bool {
        let inner = self.inner.lock();
        inner.joining & (1 << self.view.read().lead.0) != 0
            || inner.active.first_key_value().is_some_and(|(oldest, _)| *oldest < epoch)
    }
}

fn release(active: &mut BTreeMap<LeadEpoch, usize>, epoch: LeadEpoch) -> bool {
    if let Some(count) = active.get_mut(&epoch) {
        *count -= 1;
        if *count == 0 {
            active.remove(&epoch);
            return true;
        }
    }
    false
}

fn enabled_mask(states: &[MemberState]) -> u32 {
    states.iter().enumerate().filter(|(_, s)| s.is_enabled()).fold(0, |mask, (n, _)| mask | (1 << n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Membership {
        Membership::new(vec![MemberState::Enabled; 3])
    }

    #[test]
    fn the_last_member_stays() {
        let m = three();
        for n in 0..2 {
            assert_eq!(m.start_leaving(MemberId(n)), Leave::Claimed);
            assert_eq!(m.start_leaving(MemberId(n)), Leave::Already);
        }
        assert_eq!(m.start_leaving(MemberId(2)), Leave::Last);
        assert!(m.finish_leaving(MemberId(0), Reason::LostConnection, Position::START));
        assert_eq!(m.view().lead, MemberId(2), "not the one that is about to leave");
        assert!(!m.finish_leaving(MemberId(1), Reason::LostConnection, Position::START));
        assert_eq!(m.view().enabled, 4);
    }

    #[test]
    fn a_member_that_is_about_to_leave_is_not_the_one_that_is_waited_for() {
        let m = Membership::new(vec![MemberState::Enabled; 2]);
        assert_eq!(m.start_leaving(MemberId(0)), Leave::Claimed);
        assert_eq!(m.start_leaving(MemberId(1)), Leave::Last);
        m.set_down();
        assert!(!m.waits_for(MemberId(0)) && !m.up(MemberId(0)), "it leads, and leaves");
        assert!(!m.up(MemberId(1)), "not before the other one has left");
        assert!(m.finish_leaving(MemberId(0), Reason::LostConnection, Position::START));
        assert!(m.waits_for(MemberId(1)) && m.up(MemberId(1)));
        assert!(!m.view().down);
    }

    #[test]
    fn a_lead_that_still_joins_is_used_by_nobody() {
        let m = Membership::new(vec![
            MemberState::Enabled,
            MemberState::Disabled { reason: Reason::LostConnection, position: Position::START },
        ]);
        assert!(m.start_rejoin(MemberId(1)));
        m.join(MemberId(1));
        assert_eq!(m.view().joins(MemberId(1)), 1);
        assert!(!m.older_active(m.view().lead_epoch));
        assert_eq!(m.start_leaving(MemberId(0)), Leave::Claimed);
        assert!(m.finish_leaving(MemberId(0), Reason::LostConnection, Position::START));
        assert!(m.older_active(m.view().lead_epoch));
        m.caught_up(MemberId(1));
        assert!(!m.older_active(m.view().lead_epoch));
    }

    #[test]
    fn the_new_lead_waits_for_older_epochs() {
        let m = three();
        let a = m.enter();
        let b = m.enter();
        assert_eq!(m.start_leaving(MemberId(0)), Leave::Claimed);
        assert!(m.finish_leaving(MemberId(0), Reason::TimedOut, Position::START));
        let (view, wake) = m.migrate(a.lead_epoch);
        assert!(!wake);
        assert!(m.older_active(view.lead_epoch));
        assert!(m.leave(b.lead_epoch));
        assert!(!m.older_active(view.lead_epoch));
    }
}
