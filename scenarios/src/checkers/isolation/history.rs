//! What clients did and were told, and the same in the form that `adya` reads.

use adya::history::{Interner, Mop, Op, OpType, ReadValue, Scalar};

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// An element was appended to the list of a key. No other append has this element.
    Append {
        /// Whose list.
        key: i64,
        /// What was appended.
        element: i64,
    },
    /// The whole list of a key was read; a key that is not there has an empty one.
    Read {
        /// Whose list.
        key: i64,
        /// What was read.
        list: Vec<i64>,
    },
}

/// What the client knows of its transaction's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was acknowledged.
    Committed,
    /// It is certainly not done.
    Aborted,
    /// Either.
    Unknown,
}

/// One transaction of a history.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Its client; a client's transactions come one after the other.
    pub client: usize,
    /// Moment at which its first message was about to leave. All moments of a history are of one clock and differ.
    pub began: u64,
    /// Moment at which its last answer had arrived.
    pub ended: u64,
    /// What it did, in order: with [`Ending::Committed`] all, else the appends at least that may have been done.
    pub operations: Vec<Operation>,
    /// How it ended.
    pub ending: Ending,
}

/// The history in the order of its moments.
pub(super) fn history(transactions: &[Transaction]) -> adya::History {
    let mut moments: Vec<(u64, &Transaction, bool)> = Vec::with_capacity(transactions.len() * 2);
    for transaction in transactions {
        moments.push((transaction.began, transaction, false));
        moments.push((transaction.ended, transaction, true));
    }
    moments.sort_unstable_by_key(|(moment, ..)| *moment);
    let mut interner = Interner::default();
    let ops = moments.iter().zip(0..).map(|((_, transaction, is_end), index)| Op {
        index,
        kind: kind(transaction, *is_end),
        process: i64::try_from(transaction.client).ok(),
        value: transaction.operations.iter().map(|operation| operation.mop(*is_end, &mut interner)).collect(),
        time: None,
    });
    let ops = ops.collect();
    adya::History::from_ops(ops, interner)
}

fn kind(transaction: &Transaction, is_end: bool) -> OpType {
    match transaction.ending {
        _ if !is_end => OpType::Invoke,
        Ending::Committed => OpType::Ok,
        Ending::Aborted => OpType::Fail,
        Ending::Unknown => OpType::Info,
    }
}

impl Operation {
    /// At the beginning of a transaction nobody knows yet what it will read.
    fn mop(&self, is_end: bool, interner: &mut Interner) -> Mop {
        let mut name = |number: &i64| interner.intern(Scalar::Int(*number));
        match self {
            Self::Append { key, element } => Mop::Append { key: name(key), value: name(element) },
            Self::Read { key, .. } if !is_end => Mop::Read { key: name(key), value: ReadValue::Nil },
            Self::Read { key, list } => {
                Mop::Read { key: name(key), value: ReadValue::List(list.iter().map(&mut name).collect()) }
            }
        }
    }
}
