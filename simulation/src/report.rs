//! One seed, from its beginning to what is said of it.

use std::fmt;

use clap::ValueEnum;

use crate::planted::Planted;
use crate::schedule::Simulation;
use crate::trace::Trace;
use crate::world::Counts;

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The bug that was put back.
    pub planted: Planted,
    /// Hash of all events: two runs of a seed have the same.
    pub hash: u64,
    /// Steps.
    pub steps: u64,
    /// What happened how often.
    pub counts: Counts,
    /// What is wrong.
    pub violation: Option<String>,
    /// The last events, if something is wrong.
    pub last: Vec<String>,
}

fn run_with(seed: u64, planted: Planted, trace: Trace) -> Report {
    let mut simulation = Simulation::new(seed, planted, trace);
    let steps = simulation.run();
    let world = simulation.world;
    Report {
        seed,
        planted,
        hash: world.trace.hash,
        steps,
        counts: world.counts,
        last: world.trace.last().map(ToString::to_string).collect(),
        violation: world.violation,
    }
}

/// Runs a seed; one that fails is run again for its last events.
#[must_use]
pub fn run(seed: u64, planted: Planted) -> Report {
    let report = run_with(seed, planted, Trace::default());
    if report.violation.is_none() {
        return report;
    }
    run_with(seed, planted, Trace::with_texts(false))
}

/// Runs a seed and prints every event.
#[must_use]
pub fn run_traced(seed: u64, planted: Planted) -> Report {
    run_with(seed, planted, Trace::with_texts(true))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { seed, steps, .. } = self;
        let Some(violation) = &self.violation else {
            return write!(f, "seed {seed}: {steps} steps, hash {:016x}, {:?}", self.hash, self.counts);
        };
        for event in &self.last {
            writeln!(f, "{event}")?;
        }
        let planted = self.planted.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        writeln!(f, "seed {seed}, planted {planted}, step {steps}, hash {:016x}: {violation}", self.hash)?;
        write!(f, "replay: cargo run -p simulation --bin simulate -- run --seed {seed} --planted {planted} --trace")
    }
}
