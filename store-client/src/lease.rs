//! A block of ids that belongs to this client alone. Ids that are never used leave gaps, nothing else.

use crate::message::MessageId;

/// The ids that are left of a block; the default is an empty block.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    next: i64,
    end: i64,
}

impl Lease {
    /// The block of `count` ids that ends before `end`.
    pub(crate) fn ending_before(end: i64, count: i64) -> Self {
        Self { next: end - count, end }
    }

    /// The next id, while there are any.
    pub(crate) fn take(&mut self) -> Option<MessageId> {
        (self.next < self.end).then(|| {
            self.next += 1;
            MessageId::from_number(self.next - 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_block_gives_nothing() {
        assert_eq!(Lease::default().take(), None);
    }

    #[test]
    fn a_block_gives_each_id_once() {
        let mut lease = Lease::ending_before(13, 3);
        let ids: Vec<_> = std::iter::from_fn(|| lease.take()).map(MessageId::number).collect();
        assert_eq!(ids, [10, 11, 12]);
    }
}
