//! What no two readers may see, whichever members they were sent to.

use std::collections::{BTreeMap, HashMap};

use super::load::{Observed, PAIR, Read, State};
use crate::{Result, fail};

/// Checks all reads; returns how many different states were seen.
///
/// # Errors
/// What was seen that one server would not show: how often each kind, and the first.
pub(super) fn check(observed: &Observed) -> Result<usize> {
    let mut found = Found::default();
    let mut last: HashMap<usize, State> = HashMap::new();
    for read in &observed.reads {
        if !at_least(&read.seen, &read.floor) {
            found.add("misses what was acknowledged before it", || format!("{read:?}"));
        }
        if read.seen[PAIR[0]] != read.seen[PAIR[1]] {
            found.add("sees a transaction by halves", || format!("{read:?}"));
        }
        if let Some(before) = last.insert(read.client, read.seen).filter(|before| !at_least(&read.seen, before)) {
            found.add("goes back behind the one before it of its client", || format!("{before:?}, then {read:?}"));
        }
        cause(read, observed, &mut found);
    }
    let states = one_order(&observed.reads, &mut found);
    in_time(&observed.reads, &mut found);
    if found.0.is_empty() {
        return Ok(states);
    }
    let lines =
        found.0.into_iter().map(|(what, (count, first))| format!("{count} times a read {what}, first: {first}"));
    fail(lines.collect::<Vec<_>>().join("\n"))
}

/// By kind, how often and the first.
#[derive(Default)]
struct Found(BTreeMap<&'static str, (u64, String)>);

impl Found {
    fn add(&mut self, what: &'static str, first: impl FnOnce() -> String) {
        self.0.entry(what).or_insert_with(|| (0, first())).0 += 1;
    }
}

fn at_least(state: &State, floor: &State) -> bool {
    state.iter().zip(floor).all(|(seen, least)| seen >= least)
}

/// Who sees a write sees what had been acknowledged before that write was sent (no causal reverse).
fn cause(read: &Read, observed: &Observed, found: &mut Found) {
    for (key, count) in read.seen.iter().enumerate() {
        let Some(number) = usize::try_from(*count).ok().and_then(|count| count.checked_sub(1)) else { continue };
        match observed.floors[key].get(number) {
            None => found.add("sees what nobody wrote", || format!("key {key} in {read:?}")),
            Some(floor) if !at_least(&read.seen, floor) => {
                found.add("sees a write without one that was acknowledged before it", || {
                    format!("key {key}, whose write came behind {floor:?}, in {read:?}")
                });
            }
            Some(_) => {}
        }
    }
}

/// All states that were seen lie on one line: nobody sees x without y while another sees y without x (no long fork).
fn one_order(reads: &[Read], found: &mut Found) -> usize {
    let mut states: Vec<(u64, &Read)> = reads.iter().map(|read| (read.seen.iter().sum(), read)).collect();
    states.sort_unstable_by_key(|(sum, read)| (*sum, read.seen));
    for pair in states.windows(2) {
        let (one, other) = (pair[0].1, pair[1].1);
        if !at_least(&other.seen, &one.seen) {
            found.add("sees two writes in the other order than another read (long fork)", || {
                format!("{one:?} and {other:?}")
            });
        }
    }
    states.dedup_by_key(|(_, read)| read.seen);
    states.len()
}

/// A read that is sent behind another one's answer sees no less.
fn in_time(reads: &[Read], found: &mut Found) {
    let mut moments: Vec<(u64, &Read, bool)> = Vec::with_capacity(reads.len() * 2);
    moments.extend(reads.iter().map(|read| (read.began, read, false)));
    moments.extend(reads.iter().map(|read| (read.ended, read, true)));
    moments.sort_unstable_by_key(|(moment, ..)| *moment);
    let mut answered = State::default();
    for (_, read, is_end) in moments {
        if is_end {
            answered.iter_mut().zip(read.seen).for_each(|(most, seen)| *most = (*most).max(seen));
        } else if !at_least(&read.seen, &answered) {
            found.add("misses what an earlier read had seen", || format!("{answered:?}, then {read:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads by clients 0, 1, … of keys 0 and 1, all at once; each key was written three times, without knowing of the other.
    fn at_once(seen: &[[u64; 2]]) -> Observed {
        let read = |(client, [x, y]): (usize, &[u64; 2])| Read {
            client,
            began: client as u64,
            ended: 1000 + client as u64,
            floor: State::default(),
            seen: [*x, *y, 0, 0, 0, 0],
        };
        let reads = seen.iter().enumerate().map(read).collect();
        let floors = std::array::from_fn(|key| if key < 2 { vec![State::default(); 3] } else { Vec::new() });
        Observed { reads, floors }
    }

    fn told(observed: &Observed) -> String {
        check(observed).unwrap_err().to_string()
    }

    #[test]
    fn one_order_is_good() {
        assert_eq!(check(&at_once(&[[0, 0], [2, 1], [1, 0], [1, 1], [1, 1]])).unwrap(), 4);
    }

    #[test]
    fn a_long_fork_is_found_also_if_others_are_between() {
        assert!(told(&at_once(&[[1, 0], [0, 1]])).contains("long fork"));
        assert!(told(&at_once(&[[2, 0], [0, 0], [0, 1], [2, 2]])).contains("long fork"));
    }

    #[test]
    fn what_goes_back_in_time_is_found() {
        let mut later = at_once(&[[1, 1], [1, 0]]);
        later.reads[1].began = 2000;
        later.reads[1].ended = 2001;
        assert!(told(&later).contains("misses what an earlier read had seen"));
        later.reads[1].client = 0;
        assert!(told(&later).contains("one before it of its client"));
    }

    #[test]
    fn a_missed_acknowledgement_is_found() {
        let mut stale = at_once(&[[1, 0]]);
        stale.reads[0].floor = [2, 0, 0, 0, 0, 0];
        assert!(told(&stale).contains("misses what was acknowledged"));
    }

    #[test]
    fn a_causal_reverse_is_found() {
        let mut reverse = at_once(&[[0, 1]]);
        reverse.floors[1][0] = [1, 0, 0, 0, 0, 0];
        assert!(told(&reverse).contains("without one that was acknowledged before it"));
    }

    #[test]
    fn halves_and_inventions_are_found() {
        let mut wrong = at_once(&[[0, 0]]);
        wrong.reads[0].seen[PAIR[0]] = 1;
        let text = told(&wrong);
        assert!(text.contains("by halves") && text.contains("nobody wrote"), "{text}");
    }
}
