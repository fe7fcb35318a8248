//! The order of commits in flight, and members that come back.

use raidb_core::ids::ConflictGroup;
use raidb_core::sql::footprint::Rows;

use super::*;

const BACK: MemberId = MemberId(2);

fn session() -> Arc<SessionHandle> {
    SessionHandle::new(raidb_core::ids::SessionId(1), 0)
}

fn candidate(footprint: Footprint, seen: &Seen, members: u32) -> Candidate<'_> {
    Candidate { footprint, seen, members, provisional: None, certified: false }
}

fn register(commits: &InFlight, members: u32) -> Arc<Ticket> {
    let seen = Seen::default();
    match commits.register(candidate(Footprint::Everything, &seen, members), &session(), || true) {
        Registration::Registered { ticket, .. } => ticket,
        other => panic!("{other:?}"),
    }
}

fn row(key: u64) -> Footprint {
    Footprint::one(ConflictGroup(1), Rows::Keys(vec![key]))
}

/// A session that decides by an old view would commit without the member that has just joined.
#[test]
fn a_stale_view_registers_nothing() {
    let commits = InFlight::default();
    let seen = Seen::default();
    let registration = commits.register(candidate(Footprint::Everything, &seen, 0b011), &session(), || false);
    assert!(matches!(registration, Registration::OldView));
    assert!(commits.all().is_empty());
}

/// What the log still has to bring to a member holds up what conflicts with it there, also behind its own session.
#[test]
fn a_commit_without_a_followed_member_is_pending_there_until_the_log_brings_it() {
    let commits = InFlight::default();
    let before = register(&commits, 0b011);
    assert_eq!(commits.follow(BACK).len(), 1);
    assert!(!before.pending_on(BACK), "it was registered before: it is waited for");
    let during = register(&commits, 0b011);
    commits.positioned(&during, Position(7));
    commits.committed(&during);
    assert!(during.closed() && during.pending_on(BACK));
    assert_eq!(commits.conflicting(&Footprint::Everything).len(), 2);
    commits.applied(BACK, Position(6));
    assert!(during.pending_on(BACK));
    commits.applied(BACK, Position(7));
    assert!(!during.pending_on(BACK));
    assert_eq!(commits.all().len(), 1, "only the one that is still open");
}

/// The log may bring an intent before its own session knows its position.
#[test]
fn applied_before_its_position_is_known() {
    let commits = InFlight::default();
    let _none = commits.follow(BACK);
    let ticket = register(&commits, 0b011);
    commits.applied(BACK, Position(9));
    assert!(ticket.pending_on(BACK));
    commits.positioned(&ticket, Position(9));
    assert!(!ticket.pending_on(BACK));
}

/// Behind the join a session commits on the member itself: the log's progress says nothing about that.
#[test]
fn the_log_does_not_finish_what_a_session_brings() {
    let commits = InFlight::default();
    let _none = commits.follow(BACK);
    let other = register(&commits, 0b011);
    assert_eq!(commits.join(BACK, || ()).len(), 1);
    let own = register(&commits, 0b111);
    commits.positioned(&own, Position(4));
    commits.applied(BACK, Position(5));
    commits.caught_up(BACK);
    assert!(own.pending_on(BACK), "its COMMIT there has not been answered");
    assert!(!other.pending_on(BACK));
    commits.finished(&own, BACK);
    assert!(!own.pending_on(BACK));
}

#[test]
fn nothing_provisional_while_a_member_is_followed_or_the_view_is_old() {
    let commits = InFlight::default();
    let seen = Seen::default();
    let begin = |current: bool| commits.begin_provisional(row(1), &seen, || current);
    assert!(begin(false).is_none());
    assert!(!commits.any_provisional());
    let first = begin(true).unwrap();
    let _none = commits.follow(BACK);
    assert!(commits.any_provisional(), "it is waited for");
    assert!(begin(true).is_none());
    commits.end_provisional(first);
    assert!(!commits.any_provisional());
    commits.caught_up(BACK);
    assert!(begin(true).is_some());
}

/// The first has lost its connection to the lead, so the second got the row; the log has the first one's intent.
#[test]
fn nobody_is_decided_behind_an_intent_on_his_rows_that_may_be_withdrawn() {
    let commits = InFlight::default();
    let mut seen = Seen::default();
    seen.add(CommitSeq(0), &row(1));
    let first = commits.begin_provisional(row(1), &seen, || true);
    let other = commits.register(candidate(row(2), &Seen::default(), 0b111), &session(), || true);
    assert!(matches!(other, Registration::Registered { order_kept: true, .. }), "another row");
    let second = || commits.register(candidate(row(1), &seen, 0b111), &session(), || true);
    assert!(matches!(second(), Registration::Waits));
    // Withdrawn: the second may go. Registered: it has been overtaken.
    let own = Candidate { provisional: first, ..candidate(row(1), &seen, 0b111) };
    assert!(matches!(commits.register(own, &session(), || true), Registration::Registered { .. }));
    assert!(!commits.any_provisional());
    assert!(matches!(second(), Registration::Overtaken));
}

/// Two on one table, of which nobody knows whether they meet on a row: neither COMMIT leaves before the other is proved, and
/// both can be.
#[test]
fn no_commit_leaves_beside_one_that_may_have_lost_its_locks_to_it() {
    let commits = InFlight::default();
    let group = Footprint::one(ConflictGroup(1), Rows::All);
    let mut seen = Seen::default();
    seen.roughly();
    let register = |seen: &Seen, footprint: &Footprint| match commits.register(
        candidate(footprint.clone(), seen, 0b111),
        &session(),
        || true,
    ) {
        Registration::Registered { ticket, order_kept } => (ticket, order_kept),
        other => panic!("{other:?}"),
    };
    let (first, kept) = register(&seen, &group);
    assert!(!kept);
    let (second, _) = register(&seen, &group);
    let (exact, kept) = register(&Seen::default(), &row(1));
    let mut of_exact = commits.doubts(&exact);
    assert!(kept && !commits.settled(&mut of_exact, &session()));
    commits.proved(&first);
    let mut of_first = commits.doubts(&first);
    assert!(!commits.settled(&mut of_first, &session()), "the second one is not certain");
    // Whoever comes later is not waited for: there may always be one.
    let (third, _) = register(&seen, &group);
    commits.proved(&second);
    assert!(commits.settled(&mut of_first, &session()) && commits.settled(&mut of_exact, &session()));
    assert!(!commits.settled(&mut commits.doubts(&first), &session()));
    commits.proved(&third);
}

#[test]
fn what_had_no_effect_has_overtaken_nobody() {
    let commits = InFlight::default();
    let mut seen = Seen::default();
    seen.add(CommitSeq(0), &row(1));
    let attempt = || commits.register(candidate(row(1), &seen, 0b111), &session(), || true);
    let Registration::Registered { ticket, .. } = attempt() else { panic!() };
    commits.void(&ticket);
    assert!(matches!(attempt(), Registration::Registered { order_kept: true, .. }));
}

#[test]
fn a_member_that_is_gone_is_waited_for_by_nobody() {
    let commits = InFlight::default();
    let _none = commits.follow(BACK);
    let ticket = register(&commits, 0b011);
    commits.positioned(&ticket, Position(3));
    commits.committed(&ticket);
    commits.member_gone(BACK, || ());
    assert!(commits.all().is_empty());
    commits.abandon(&register(&commits, 0b111));
    assert!(commits.all().is_empty());
}

/// Two readers on two members must not see two commits in different orders: as long as somebody reads who may see both, the second
/// leaves when the first is finished where he reads.
#[test]
fn commits_that_a_reader_may_see_leave_one_behind_the_other() {
    let commits = InFlight::default();
    let seen = Seen::default();
    let register = |key| match commits.register(candidate(row(key), &seen, 0b011), &session(), || true) {
        Registration::Registered { ticket, .. } => ticket,
        other => panic!("{other:?}"),
    };
    let (here, there) = (MemberId(0), MemberId(1));
    let table = Footprint::one(ConflictGroup(1), Rows::All);
    let before = register(1);
    assert!(commits.leave(&before, &session(), false));

    let (waits_for, reader) = commits.reads(here, &table);
    assert_eq!(waits_for.len(), 1, "what is in flight is waited for");
    let (one, two, other) = (register(2), register(3), register(4));
    let another = Footprint::one(ConflictGroup(2), Rows::All);
    let (_, elsewhere) = commits.reads(here, &another);
    assert!(commits.leave(&one, &session(), false), "the one before is waited for by the reader, not by commits");
    assert!(!commits.leave(&two, &session(), false));
    assert!(commits.leave(&other, &session(), true), "one member shows one order");
    commits.finished(&other, here);
    commits.finished(&one, there);
    assert!(!commits.leave(&two, &session(), false), "it is the reader's member that counts");
    commits.finished(&one, here);
    assert!(commits.leave(&two, &session(), false));

    let late = register(5);
    assert!(!commits.leave(&late, &session(), false));
    commits.has_read(reader);
    assert!(commits.leave(&late, &session(), false), "nobody reads any more");
    commits.has_read(elsewhere);
}

/// Who left without effect, or with one that nobody knows, keeps back nobody.
#[test]
fn who_has_left_in_vain_keeps_back_nobody() {
    let commits = InFlight::default();
    let (_, _reader) = commits.reads(MemberId(0), &Footprint::Everything);
    let (one, two, three) = (register(&commits, 0b011), register(&commits, 0b011), register(&commits, 0b011));
    assert!(commits.leave(&one, &session(), false) && !commits.leave(&two, &session(), false));
    commits.void(&one);
    assert!(commits.leave(&two, &session(), false) && !commits.leave(&three, &session(), false));
    commits.member_gone(MemberId(0), || ());
    assert!(commits.leave(&three, &session(), false));
}
