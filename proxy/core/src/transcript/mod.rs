//! The transcript: what one transaction did, in order, in the form in which followers get it.
//!
//! The invariant: the entries are exactly what the lead has answered with success and not undone since. An
//! entry's index is its identity as long as nothing before it is undone; undoing cuts the list.

/// A savepoint that is open on the lead.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OpenSavepoint {
    name: String,
    /// Number of entries up to and with its own SAVEPOINT.
    length: usize,
}

/// Where an undo ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// Entries that remain.
    pub length: usize,
    /// The savepoint that followers roll back to; `None`: the whole transaction.
    pub savepoint: Option<String>,
}

/// Entries of one transaction; `P` is what is sent.
#[derive(Debug)]
pub struct Transcript<P> {
    entries: Vec<P>,
    savepoints: Vec<OpenSavepoint>,
}

impl<P> Default for Transcript<P> {
    fn default() -> Self {
        Transcript { entries: Vec::new(), savepoints: Vec::new() }
    }
}

impl<P> Transcript<P> {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// An entry.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&P> {
        self.entries.get(index)
    }

    /// Completes an entry whose outcome is known only later (COPY).
    pub fn set(&mut self, index: usize, change: impl FnOnce(&mut P)) {
        if let Some(entry) = self.entries.get_mut(index) {
            change(entry);
        }
    }

    /// All entries in order.
    pub fn iter(&self) -> std::slice::Iter<'_, P> {
        self.entries.iter()
    }

    /// The lead answered a statement.
    pub fn push(&mut self, entry: P) {
        self.entries.push(entry);
    }

    /// The lead set a savepoint.
    pub fn savepoint(&mut self, name: String, entry: P) {
        self.entries.push(entry);
        self.savepoints.push(OpenSavepoint { name, length: self.entries.len() });
    }

    /// The lead released a savepoint, and all set behind it.
    pub fn release(&mut self, name: &str, entry: P) {
        if let Some(at) = self.savepoints.iter().rposition(|s| s.name == name) {
            self.savepoints.truncate(at);
        }
        self.entries.push(entry);
    }

    /// The lead rolled back to a savepoint, which stays open. `None`: there is no such savepoint.
    pub fn rollback_to(&mut self, name: &str) -> Option<Undo> {
        let at = self.savepoints.iter().rposition(|s| s.name == name)?;
        let length = self.savepoints[at].length;
        self.savepoints.truncate(at + 1);
        self.entries.truncate(length);
        Some(Undo { length, savepoint: Some(name.to_owned()) })
    }

    /// A statement failed on the lead: everything up to the innermost savepoint is undone there
    /// (it can only be rolled back), so it leaves the transcript now (rule 3).
    pub fn failed(&mut self) -> Undo {
        match self.savepoints.last() {
            Some(innermost) => {
                self.entries.truncate(innermost.length);
                Undo { length: innermost.length, savepoint: Some(innermost.name.clone()) }
            }
            None => self.clear(),
        }
    }

    /// The transaction is over or rolled back.
    pub fn clear(&mut self) -> Undo {
        self.entries.clear();
        self.savepoints.clear();
        Undo { length: 0, savepoint: None }
    }

    /// Whether a savepoint of that name is open.
    #[must_use]
    pub fn has_savepoint(&self, name: &str) -> bool {
        self.savepoints.iter().any(|s| s.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_cuts_to_the_innermost_savepoint() {
        let mut t = Transcript::default();
        t.push("a");
        t.savepoint("s".into(), "savepoint s");
        t.push("b");
        t.savepoint("s".into(), "savepoint s");
        t.push("c");
        assert_eq!(t.failed(), Undo { length: 4, savepoint: Some("s".into()) });
        assert_eq!(t.len(), 4);
        assert_eq!(t.rollback_to("s"), Some(Undo { length: 4, savepoint: Some("s".into()) }));
        t.release("s", "release s");
        assert_eq!(t.rollback_to("s"), Some(Undo { length: 2, savepoint: Some("s".into()) }));
        assert_eq!(t.rollback_to("x"), None);
        assert_eq!(t.iter().copied().collect::<Vec<_>>(), ["a", "savepoint s"]);
    }

    #[test]
    fn without_savepoints_all_is_undone() {
        let mut t = Transcript::default();
        t.push(1);
        assert_eq!(t.failed(), Undo { length: 0, savepoint: None });
        assert!(t.is_empty());
    }
}
