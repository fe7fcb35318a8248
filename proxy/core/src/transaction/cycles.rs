//! Who waits for whom across members: the last resort behind the rules of DESIGN.md §3.
//!
//! No cycle can span members if the rules hold; this graph finds one if they do not, and its firing is a
//! bug. An edge (a, b) says: session a waits, on some member, for a lock that session b holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::SessionId;

/// A cycle of waits, each waiting for the next and the last for the first; `None` if there is none.
/// The same edges, in whatever order, give the same cycle.
pub fn find_cycle(edges: &[(SessionId, SessionId)]) -> Option<Vec<SessionId>> {
    let mut waits_for: BTreeMap<SessionId, BTreeSet<SessionId>> = BTreeMap::new();
    for (waiter, holder) in edges {
        waits_for.entry(*waiter).or_default().insert(*holder);
    }
    let mut done = BTreeSet::new();
    waits_for.keys().find_map(|start| cycle_from(*start, &waits_for, &mut done))
}

/// Depth first from `start`, with an explicit stack; `done` holds nodes that lead to no cycle.
fn cycle_from(
    start: SessionId,
    waits_for: &BTreeMap<SessionId, BTreeSet<SessionId>>,
    done: &mut BTreeSet<SessionId>,
) -> Option<Vec<SessionId>> {
    if done.contains(&start) {
        return None;
    }
    let holders = |session: SessionId| waits_for.get(&session).into_iter().flatten().copied();
    let mut path = vec![start];
    let mut on_path = BTreeSet::from([start]);
    let mut open = vec![holders(start)];
    while let Some(next) = open.last_mut() {
        match next.next() {
            Some(holder) => {
                if on_path.contains(&holder) {
                    let first = path.iter().position(|session| *session == holder)?;
                    return Some(path.split_off(first));
                }
                if !done.contains(&holder) {
                    path.push(holder);
                    on_path.insert(holder);
                    open.push(holders(holder));
                }
            }
            None => {
                open.pop();
                if let Some(left) = path.pop() {
                    on_path.remove(&left);
                    done.insert(left);
                }
            }
        }
    }
    None
}

/// Who in a cycle is aborted: the one whose transaction began last, which has the least to lose; among
/// equals the highest session number. `began` says when, in whatever unit grows.
pub fn youngest(cycle: &[SessionId], began: impl Fn(SessionId) -> u64) -> Option<SessionId> {
    cycle.iter().copied().max_by_key(|session| (began(*session), *session))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(pairs: &[(u64, u64)]) -> Vec<(SessionId, SessionId)> {
        pairs.iter().map(|(waiter, holder)| (SessionId(*waiter), SessionId(*holder))).collect()
    }

    fn cycle(pairs: &[(u64, u64)]) -> Option<Vec<u64>> {
        find_cycle(&edges(pairs)).map(|cycle| cycle.iter().map(|session| session.0).collect())
    }

    #[test]
    fn no_cycle() {
        assert_eq!(cycle(&[]), None);
        assert_eq!(cycle(&[(1, 2), (2, 3), (1, 3), (4, 3)]), None);
        let chain: Vec<_> = (0..100_000).map(|n| (n, n + 1)).collect();
        assert_eq!(cycle(&chain), None);
    }

    #[test]
    fn finds_the_cycle_without_those_that_only_wait_for_it() {
        assert_eq!(cycle(&[(1, 1)]), Some(vec![1]));
        assert_eq!(cycle(&[(1, 2), (2, 1)]), Some(vec![1, 2]));
        assert_eq!(cycle(&[(1, 5), (5, 7), (7, 6), (6, 5), (5, 9)]), Some(vec![5, 7, 6]));
        assert_eq!(cycle(&[(1, 2), (3, 4), (4, 3)]), Some(vec![3, 4]));
    }

    #[test]
    fn agrees_with_reachability_on_all_small_graphs() {
        let pairs: Vec<(u64, u64)> = (0..4).flat_map(|a| (0..4).map(move |b| (a, b))).collect();
        for graph in 0..1u32 << pairs.len() {
            let chosen: Vec<_> =
                (0..).zip(&pairs).filter(|(n, _)| graph >> n & 1 == 1).map(|(_, pair)| *pair).collect();
            let found = cycle(&chosen);
            assert_eq!(found.is_some(), has_cycle(&chosen), "{chosen:?}");
            if let Some(found) = found {
                let next = found.iter().cycle().skip(1);
                assert!(found.iter().zip(next).all(|(a, b)| chosen.contains(&(*a, *b))), "{chosen:?}: {found:?}");
            }
        }
    }

    /// Transitive closure over four nodes.
    fn has_cycle(chosen: &[(u64, u64)]) -> bool {
        let mut reach: BTreeSet<(u64, u64)> = chosen.iter().copied().collect();
        for via in 0..4 {
            for a in 0..4 {
                for b in 0..4 {
                    if reach.contains(&(a, via)) && reach.contains(&(via, b)) {
                        reach.insert((a, b));
                    }
                }
            }
        }
        (0..4).any(|n| reach.contains(&(n, n)))
    }

    #[test]
    fn the_youngest_goes() {
        let sessions = [SessionId(1), SessionId(2), SessionId(3)];
        let began = |session: SessionId| [0, 30, 50, 20][usize::try_from(session.0).unwrap()];
        assert_eq!(youngest(&sessions, began), Some(SessionId(2)));
        assert_eq!(youngest(&sessions, |_| 1), Some(SessionId(3)));
        assert_eq!(youngest(&[], |_| 1), None);
    }
}
