//! Settings that are one word of a list, some of which this version does not support yet.

use super::{Consistency, Durability, Rejoin, UnsafeStatement};
use crate::placement::{Level, Pick, WaitFor};

/// A setting whose values are words.
pub(super) trait Keyword: Copy + PartialEq + 'static {
    /// Every word that has a meaning, with that meaning.
    const WORDS: &'static [(&'static str, Self)];

    /// The meanings that this version carries out. The others are refused, never ignored.
    const SUPPORTED: &'static [Self];

    /// What the word means, or what is wrong with it and what is allowed.
    fn read(word: &str) -> Result<Self, String> {
        match Self::WORDS.iter().find(|(name, _)| *name == word) {
            Some((_, value)) if Self::SUPPORTED.contains(value) => Ok(*value),
            Some(_) => Err(format!("is not supported yet; allowed: {}", Self::allowed())),
            None => Err(format!("is unknown; allowed: {}", Self::allowed())),
        }
    }

    /// The supported words, for a message.
    fn allowed() -> String {
        let words = Self::WORDS.iter().filter(|(_, value)| Self::SUPPORTED.contains(value));
        words.map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    }
}

impl Keyword for Level {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("single", Self::Single),
        ("raidb-0", Self::Raidb0),
        ("raidb-1", Self::Raidb1),
        ("raidb-1ec", Self::Raidb1Ec),
        ("raidb-2", Self::Raidb2),
        ("raidb-2ec", Self::Raidb2Ec),
    ];
    const SUPPORTED: &'static [Self] = &[Self::Single, Self::Raidb1];
}

impl Keyword for Pick {
    const WORDS: &'static [(&'static str, Self)] =
        &[("round-robin", Self::RoundRobin), ("weighted", Self::Weighted), ("least-pending", Self::LeastPending)];
    const SUPPORTED: &'static [Self] = &[Self::RoundRobin, Self::Weighted, Self::LeastPending];
}

impl Keyword for WaitFor {
    const WORDS: &'static [(&'static str, Self)] =
        &[("all", Self::All), ("majority", Self::Majority), ("first", Self::First)];
    const SUPPORTED: &'static [Self] = &[Self::All];
}

impl Keyword for Consistency {
    const WORDS: &'static [(&'static str, Self)] =
        &[("strict", Self::Strict), ("session", Self::Session), ("eventual", Self::Eventual)];
    const SUPPORTED: &'static [Self] = &[Self::Strict];
}

impl Keyword for Durability {
    const WORDS: &'static [(&'static str, Self)] = &[("members", Self::Members), ("log", Self::Log)];
    const SUPPORTED: &'static [Self] = &[Self::Members];
}

impl Keyword for Rejoin {
    const WORDS: &'static [(&'static str, Self)] = &[("auto", Self::Auto), ("manual", Self::Manual)];
    const SUPPORTED: &'static [Self] = &[Self::Auto, Self::Manual];
}

impl Keyword for UnsafeStatement {
    const WORDS: &'static [(&'static str, Self)] = &[("reject", Self::Reject), ("warn", Self::Warn)];
    const SUPPORTED: &'static [Self] = &[Self::Reject, Self::Warn];
}

/// The word that stands for a value, as it is written in the configuration.
pub(super) fn word_of<T: Keyword>(value: T) -> &'static str {
    T::WORDS.iter().find(|(_, meaning)| *meaning == value).map_or("", |(word, _)| *word)
}
