//! What happened, as numbers: hashed (a seed replays bit for bit), the last of it kept, all of it printed if wished.

use std::collections::VecDeque;
use std::fmt;

use crate::random::mix;

/// Events that are kept for the report of a failure.
const KEPT: usize = 50;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub step: u64,
    /// What.
    pub what: &'static str,
    /// Whose: sessions, members, positions, as `what` says.
    pub numbers: [u64; 3],
    /// More of it.
    pub detail: Option<String>,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.numbers;
        write!(f, "{:>6}  {} {a} {b} {c}", self.step, self.what)?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, "  {detail}"))
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Hash of all events.
    pub hash: u64,
    /// How many there were.
    pub count: u64,
    last: VecDeque<Event>,
    /// Texts are made, and everything is printed.
    pub printed: bool,
    /// Texts are made, for the report.
    pub detailed: bool,
}

impl Trace {
    /// One that keeps texts for a report, or prints everything.
    #[must_use]
    pub fn with_texts(printed: bool) -> Self {
        Trace { printed, detailed: true, ..Trace::default() }
    }

    /// One more event. `detail` is asked for only if somebody reads it, and is no part of the hash.
    pub fn add(&mut self, step: u64, what: &'static str, numbers: [u64; 3], detail: impl FnOnce() -> String) {
        self.count += 1;
        self.hash = what.bytes().fold(mix(self.hash, step), |hash, byte| hash.rotate_left(7) ^ u64::from(byte));
        self.hash = numbers.iter().fold(self.hash, |hash, number| mix(hash, *number));
        if !self.detailed && !self.printed {
            return;
        }
        let detail = Some(detail()).filter(|text| !text.is_empty());
        let event = Event { step, what, numbers, detail };
        if self.printed {
            println!("{event}");
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(event);
    }

    /// The last events.
    pub fn last(&self) -> impl Iterator<Item = &Event> {
        self.last.iter()
    }
}
