//! What the checker knows of every client's transaction, and what must hold at the end.

use std::collections::{BTreeMap, BTreeSet};

use raidb_core::log::Position;
use raidb_core::token::Asked;

use crate::session::Told;
use crate::world::{World, name};

/// What clients were told, and what the durable log says.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    next: u32,
    told: BTreeMap<u32, Told>,
    intents: BTreeMap<u32, Vec<Position>>,
    aborted: BTreeSet<Position>,
    /// Transactions that their clients have named.
    named: BTreeSet<u32>,
}

impl Oracle {
    /// One more transaction; its number.
    pub fn begin(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// An intent is durable.
    pub fn intent(&mut self, origin: u32, position: Position) {
        self.intents.entry(origin).or_default().push(position);
    }

    /// Its client has named it.
    pub fn named(&mut self, origin: u32) {
        self.named.insert(origin);
    }

    /// It does not count.
    pub fn outcome(&mut self, intent: Position) {
        self.aborted.insert(intent);
    }

    /// The log is about to be read anew.
    pub fn forget_log(&mut self) {
        self.intents.clear();
        self.aborted.clear();
    }

    /// Whether its intent is durable, and counts.
    #[must_use]
    pub fn decided(&self, origin: u32) -> bool {
        self.intents.get(&origin).is_some_and(|all| all.iter().any(|position| !self.aborted.contains(position)))
    }

    /// A client was told.
    ///
    /// # Errors
    /// It was told something else before.
    pub fn told(&mut self, origin: u32, told: Told) -> Result<(), String> {
        match self.told.insert(origin, told) {
            Some(before) if before != Told::Unknown && before != told => {
                Err(format!("transaction {origin} was told {before:?}, and then {told:?}"))
            }
            _ => Ok(()),
        }
    }

    /// What the client of a transaction was told.
    #[must_use]
    pub fn what_was_told(&self, origin: u32) -> Option<Told> {
        self.told.get(&origin).copied()
    }

    /// What clients know to be committed.
    #[must_use]
    pub fn acknowledged(&self) -> BTreeSet<u32> {
        self.told.iter().filter(|(_, told)| **told == Told::Committed).map(|(origin, _)| *origin).collect()
    }

    /// Numbers of all transactions.
    pub fn all(&self) -> impl Iterator<Item = u32> + use<> {
        1..=self.next
    }
}

impl World {
    /// Everybody is back, nobody works: everything must be as clients were told, and alike.
    pub fn check_end(&mut self) {
        self.read_durable();
        let differs = (1..self.servers.len()).find_map(|m| {
            Some(format!("members 0 and {m} differ: {}", self.servers[0].rows.difference(&self.servers[m].rows)?))
        });
        let wrong = self.oracle.all().find_map(|origin| self.wrong_end(origin));
        let unknown: Vec<u32> = self.oracle.all().filter(|o| self.oracle.named.contains(o)).collect();
        let answered = unknown.into_iter().find_map(|origin| self.wrong_answer(origin));
        let wrong = wrong.or(answered);
        let out = (0..self.servers.len()).find(|m| !self.shared.membership.states[*m].is_enabled());
        let out = out.map(|m| format!("{} is not enabled at the end: {}", name(m), self.shared.membership.states[m]));
        let open = self.shared.in_flight.active().len();
        let open = (open > 0).then(|| format!("{open} commits in flight at the end"));
        if let Some(violation) = wrong.or(differs).or(out).or(open) {
            self.violation(violation);
        }
    }

    /// What the registry of tokens, recovered or not, says of a transaction: never anything wrong.
    fn wrong_answer(&mut self, origin: u32) -> Option<String> {
        let committed = self.servers[0].commits.contains_key(&origin);
        let wrote =
            committed || self.oracle.decided(origin) || self.oracle.what_was_told(origin) != Some(Told::Committed);
        let asked = crate::faults::ask_later(self, origin);
        let right = match asked {
            Asked::Committed => committed || !wrote,
            Asked::Aborted { .. } | Asked::Unknown { .. } => !committed,
            Asked::Wait | Asked::Full => false,
        };
        (!right)
            .then(|| format!("asked about transaction {origin} the registry says {asked:?}, committed: {committed}"))
    }

    fn wrong_end(&self, origin: u32) -> Option<String> {
        let times: Vec<u32> = self.servers.iter().map(|s| s.commits.get(&origin).copied().unwrap_or(0)).collect();
        let decided = self.oracle.decided(origin);
        let expected = match self.oracle.what_was_told(origin) {
            // What wrote nothing is nowhere.
            Some(Told::Committed) => u32::from(decided),
            Some(Told::Aborted) | None => 0,
            Some(Told::Unknown) => u32::from(decided),
        };
        let told = self.oracle.what_was_told(origin);
        let right = times.iter().all(|n| *n == expected);
        (!right)
            .then(|| format!("transaction {origin}, told {told:?}, decided {decided}, was committed {times:?} times"))
    }
}

/// A cycle of waits over all members; the real search finds it.
#[must_use]
pub fn cycle(servers: &[crate::member::Server]) -> Option<Vec<raidb_core::ids::SessionId>> {
    let mut edges = Vec::new();
    servers.iter().for_each(|server| server.waits(&mut edges));
    crate::schedule::cycle_of(&edges)
}
