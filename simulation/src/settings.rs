//! Limits, in steps, and what a seed chooses for its run (as TigerBeetle's swarm: each run leaves something out).

use crate::random::Random;

/// A member has this long for an answer.
pub const MEMBER_TIMEOUT: u64 = 4000;
/// A probe of a member that stands still.
pub const PROBE_LIMIT: u64 = 400;
/// A change of lead waits this long for what the old lead had answered.
pub const DRAIN_LIMIT: u64 = 2500;
/// What is doomed may end by itself for this long.
pub const DOOMED_GRACE: u64 = 20;
/// Entries of a unit at most.
pub const FOLLOW_ENTRIES: usize = 4;
/// A run that is longer than this does not end.
pub const STEPS_MAX: u64 = 400_000;
/// Nothing happens for this long although everything is healthy: somebody waits for ever.
pub const IDLE_MAX: u64 = 20_000;

/// What a seed chooses.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent choices of a seed")]
pub struct Settings {
    pub members: usize,
    pub sessions: usize,
    pub transactions: u32,
    /// Keys of each table.
    pub keys: u32,
    /// Tables: bit 0 parent and child, 1 item, 2 note.
    pub tables: u32,
    pub savepoints: bool,
    pub tokens: bool,
    pub reads: bool,
    pub early_intents: bool,
    pub lead_waits: bool,
    pub follow_delay: u64,
    /// Longest pause of a client between two transactions.
    pub think: u32,
    /// Faults at most, of these kinds.
    pub faults: u32,
    pub fault_kinds: u32,
    /// A fault is tried in so many of 10,000 steps.
    pub fault_rate: u32,
    /// Steps in 1,000 that a slow member lets pass.
    pub slow_per_mille: u32,
}

impl Settings {
    /// The choices of a seed.
    #[must_use]
    pub fn choose(random: &mut Random) -> Self {
        let faults = if random.chance(250) { 0 } else { 1 + random.below(8) };
        Settings {
            members: random.pick(&[1, 2, 3, 3, 3, 3]),
            sessions: random.pick(&[2, 3, 4, 6, 8]),
            transactions: 3 + random.below(15),
            keys: random.pick(&[2, 4, 8]),
            tables: random.pick(&[1, 1, 2, 2, 3, 7, 7]),
            savepoints: random.chance(600),
            tokens: random.chance(400),
            reads: random.chance(500),
            early_intents: random.chance(700),
            lead_waits: random.chance(500),
            follow_delay: random.pick(&[0, 0, 10, 100]),
            think: random.pick(&[1, 20, 200]),
            faults,
            fault_kinds: u32::try_from(random.next() & 0xff).unwrap_or(0),
            fault_rate: random.pick(&[20, 80, 300]),
            slow_per_mille: random.pick(&[0, 0, 500, 800, 900]),
        }
    }
}
