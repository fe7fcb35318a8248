use raidb_core::ids::SessionId;
use raidb_core::sql::footprint::Footprint;

use super::*;

fn session(id: u64) -> Arc<SessionHandle> {
    SessionHandle::new(SessionId(id), 0)
}

fn insert(text: &str) -> Insert {
    Insert {
        payload: Payload::Simple(Bytes::copy_from_slice(text.as_bytes())),
        shape: None,
        tag: Bytes::from_static(b"INSERT 0 1"),
        reads: Footprint::Nothing,
        footprint: Footprint::Nothing,
        literals: false,
        generation: 0,
    }
}

fn come(combining: &Arc<Combining>, id: u64) -> Arrival {
    combining.come(&session(id), || insert(&format!("insert {id}")))
}

fn turn(arrival: Arrival) -> Turn {
    match arrival {
        Arrival::Turn(turn) => turn,
        other => panic!("{other:?}"),
    }
}

fn seat(arrival: Arrival) -> Seat {
    match arrival {
        Arrival::Seat(seat) => seat,
        other => panic!("{other:?}"),
    }
}

fn texts(passengers: &Passengers) -> Vec<String> {
    passengers.inserts().map(|insert| format!("{:?}", insert.payload)).collect()
}

#[test]
fn who_is_alone_has_the_turn_each_time() {
    let combining = Arc::<Combining>::default();
    for _ in 0..3 {
        let turn = turn(come(&combining, 1));
        assert!(turn.others(&insert("own")).is_empty());
        assert!(turn.expected <= 1);
    }
}

#[test]
fn a_turn_takes_along_who_has_come_in_order_and_tells_them() {
    let combining = Arc::<Combining>::default();
    let first = turn(come(&combining, 1));
    let (second, third) = (seat(come(&combining, 2)), seat(come(&combining, 3)));
    let others = first.others(&insert("own"));
    assert_eq!(texts(&others).len(), 2);
    assert!(texts(&others)[0].contains("insert 2"));
    assert!(matches!(second.next(), Next::Wait));
    assert!(!second.withdraw(), "it is being run");
    others.committed();
    assert!(matches!(second.next(), Next::Ended(Fate::Committed)));
    assert!(matches!(third.next(), Next::Ended(Fate::Committed)));
}

#[test]
fn a_turn_is_passed_on_to_who_has_waited_longest() {
    let combining = Arc::<Combining>::default();
    let first = turn(come(&combining, 1));
    let (second, third) = (seat(come(&combining, 2)), seat(come(&combining, 3)));
    first.worked(4);
    drop(first);
    let Next::Turn(turn) = second.next() else { panic!("no turn") };
    // Four have just been served, and two waited.
    assert_eq!(turn.expected, 6);
    assert!(matches!(third.next(), Next::Wait));
    let others = turn.others(second.insert());
    assert_eq!(texts(&others).len(), 1);
}

#[test]
fn a_place_that_is_given_up_is_nobodys() {
    let combining = Arc::<Combining>::default();
    let first = turn(come(&combining, 1));
    let (second, third) = (seat(come(&combining, 2)), seat(come(&combining, 3)));
    assert!(second.withdraw());
    assert_eq!(texts(&first.others(&insert("own"))).len(), 1);
    drop(first);
    // Its session is gone when its turn comes: the turn is passed on.
    let (fourth, fifth) = (seat_behind(&combining), third);
    drop((fourth, fifth));
    assert!(matches!(come(&combining, 6), Arrival::Turn(_)));
}

fn seat_behind(combining: &Arc<Combining>) -> Seat {
    let turn = turn(come(combining, 4));
    let seat = seat(come(combining, 5));
    drop(turn);
    seat
}

#[test]
fn passengers_that_nobody_told_know_that_nothing_has_happened() {
    let combining = Arc::<Combining>::default();
    let first = turn(come(&combining, 1));
    let second = seat(come(&combining, 2));
    drop(first.others(&insert("own")));
    assert!(matches!(second.next(), Next::Ended(Fate::Alone { blamed: false })));
    let (third, fourth) = (seat(come(&combining, 3)), seat(come(&combining, 4)));
    first.others(&insert("own")).alone(Some(1));
    assert!(matches!(third.next(), Next::Ended(Fate::Alone { blamed: false })));
    assert!(matches!(fourth.next(), Next::Ended(Fate::Alone { blamed: true })));
}

#[test]
fn passengers_of_a_commit_that_nobody_told_know_that_nobody_knows() {
    let combining = Arc::<Combining>::default();
    let first = turn(come(&combining, 1));
    let second = seat(come(&combining, 2));
    let mut others = first.others(&insert("own"));
    others.committing();
    drop(others);
    assert!(matches!(second.next(), Next::Ended(Fate::Unknown(_))));
}

#[test]
fn a_turn_that_takes_too_long_does_not_count() {
    let combining = Arc::<Combining>::default();
    let first = turn(come(&combining, 1));
    std::thread::sleep(PATIENCE_MIN + Duration::from_millis(1));
    let second = turn(come(&combining, 2));
    drop(first);
    assert!(matches!(come(&combining, 3), Arrival::Seat(_)), "the second still has it");
    drop(second);
}

#[test]
fn behind_a_failure_everybody_goes_alone_for_a_while() {
    let combining = Arc::<Combining>::default();
    turn(come(&combining, 1)).failed();
    assert!(matches!(come(&combining, 2), Arrival::Alone));
    std::thread::sleep(REST + Duration::from_millis(1));
    turn(come(&combining, 3)).failed();
    std::thread::sleep(REST + Duration::from_millis(1));
    assert!(matches!(come(&combining, 4), Arrival::Alone), "longer each time");
}

#[test]
fn no_more_are_taken_than_fit() {
    let combining = Arc::<Combining>::default();
    let first = turn(come(&combining, 0));
    let seats: Vec<Seat> = (1..100).map(|id| seat(come(&combining, id))).collect();
    assert_eq!(texts(&first.others(&insert("own"))).len(), COMBINED_MAX - 1);
    let big = combining.come(&session(100), || insert(&"x".repeat(COMBINED_BYTES_MAX)));
    drop(seats);
    assert_eq!(texts(&first.others(&insert("own"))).len(), 0, "too large beside another");
    drop(big);
}

#[test]
fn gathering_becomes_rare_when_nobody_comes() {
    let mut gathering = Gathering::default();
    let mut done = 0;
    for _ in 0..200 {
        if gathering.now() {
            done += 1;
            gathering.ended(false);
        }
    }
    assert!(done < 12, "{done}");
    gathering.skip = 0;
    assert!(gathering.now());
    gathering.ended(true);
    assert!(gathering.now());
}
