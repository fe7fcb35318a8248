//! The committed corpus and mutations of it, without libFuzzer: bounded, from one seed, on the stack that a session has.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Mutations of each target: what fits into a few seconds of a test build.
const MUTATIONS: usize = 20_000;
/// Longest input that is made.
const BYTES_MAX: usize = 16 * 1024;
/// No input of that length may take so long, on a machine that has other things to do.
const LIMIT: Duration = Duration::from_secs(20);
/// What a worker's thread has.
const STACK: usize = 2 << 20;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// One input made of others.
fn mutation(corpus: &[Vec<u8>], chance: &mut StdRng) -> Vec<u8> {
    let mut input = corpus[chance.random_range(0..corpus.len())].clone();
    for _ in 0..chance.random_range(1..6) {
        let at = chance.random_range(0..=input.len());
        let end = (at + chance.random_range(0..24)).min(input.len());
        match chance.random_range(0..7) {
            0 => drop(input.drain(at..end)),
            1 => input.insert(at, chance.random()),
            2 => input[at..end].iter_mut().for_each(|byte| *byte ^= 1 << chance.random_range(0..8)),
            3 => {
                let other = &corpus[chance.random_range(0..corpus.len())];
                let from = chance.random_range(0..=other.len());
                let to = (from + chance.random_range(0..64)).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
            // Nesting, and long lists.
            4 => {
                let piece = input[at..end].to_vec().repeat(chance.random_range(1..200));
                input.splice(at..at, piece);
            }
            5 => input[at..end].iter_mut().for_each(|byte| *byte = [0, 0xff, 0x7f, 0x80][usize::from(*byte % 4)]),
            _ => input.truncate(at),
        }
    }
    input.truncate(BYTES_MAX);
    input
}

/// Runs a target over its corpus, then over mutations.
fn replay(target: &'static str, run: fn(&[u8])) {
    let work = move || {
        let corpus = corpus(target);
        assert!(!corpus.is_empty());
        let timed = |input: &[u8]| {
            let start = Instant::now();
            let outcome = std::panic::catch_unwind(|| run(input));
            let shown = String::from_utf8_lossy(&input[..input.len().min(2_000)]).into_owned();
            assert!(outcome.is_ok(), "{target}, {} bytes: {shown:?}\n{input:?}", input.len());
            assert!(start.elapsed() < LIMIT, "{target}: {:?} for {} bytes: {shown:?}", start.elapsed(), input.len());
        };
        corpus.iter().for_each(|input| timed(input));
        let seed = std::env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
        let rounds = std::env::var("FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(MUTATIONS);
        let mut chance = StdRng::seed_from_u64(seed);
        (0..rounds).for_each(|_| timed(&mutation(&corpus, &mut chance)));
    };
    std::thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap();
}

#[cfg(feature = "wire")]
#[test]
fn wire() {
    replay("wire", raidb_fuzz::wire::run);
}

#[test]
fn sql() {
    replay("sql", raidb_fuzz::sql::run);
}

#[test]
fn config() {
    replay("config", raidb_fuzz::config::run);
}

#[test]
fn log() {
    replay("log", raidb_fuzz::log::run);
}
