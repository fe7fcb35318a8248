//! Conflict groups: tables joined by foreign keys, inheritance or partitioning, found by union-find.

use std::collections::HashMap;

/// Which tables are in one group; a group is named by its smallest oid, so that its name survives reloads.
#[derive(Debug, Default)]
pub(super) struct Groups {
    parents: HashMap<u32, u32>,
}

impl Groups {
    /// The group of a table.
    pub(super) fn find(&mut self, oid: u32) -> u32 {
        let mut root = oid;
        while let Some(&parent) = self.parents.get(&root) {
            root = parent;
        }
        let mut at = oid;
        while at != root {
            at = self.parents.insert(at, root).unwrap_or(root);
        }
        root
    }

    /// Joins the groups of two tables.
    pub(super) fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.find(a), self.find(b));
        if a != b {
            self.parents.insert(a.max(b), a.min(b));
        }
    }
}
