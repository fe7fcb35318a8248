//! Prepared statements and portals of a session, as the client knows them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use raidb_core::sql::analysis::Analysis;

/// A statement's text and parameter types, as a link needs them to parse it.
#[derive(Debug)]
pub struct Prepared {
    /// Unique in the session; two Parse messages never share one.
    pub identity: u64,
    /// The client's name for it.
    pub name: Bytes,
    /// Its text.
    pub text: Bytes,
    /// Count and oids of parameter types, raw; oids that may differ between members are 0.
    pub types: Bytes,
    /// How SQL makes it, if SQL has.
    pub by_sql: Option<BySql>,
}

/// A statement that PREPARE has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BySql {
    /// The PREPARE that makes it again, wherever it is needed.
    pub text: Bytes,
    /// Settings under which its constants were read: under others the text would mean something else. `None`: it has none.
    pub under: Option<Told>,
}

/// Settings that say how constants are read, as the lead has told them; empty: it was not asked.
pub type Told = Vec<(&'static str, String)>;

impl Prepared {
    /// Whether members find the type of some parameter themselves; `parameters`: how many there are.
    #[must_use]
    pub fn has_open_types(&self, parameters: u16) -> bool {
        let named = self.types.get(2..).unwrap_or_default();
        named.len() < 4 * usize::from(parameters) || named.chunks(4).any(|oid| oid == [0; 4] || oid == UNKNOWN_OID)
    }
}

/// With what it means.
#[derive(Clone, Debug)]
pub struct PreparedStatement {
    /// The text.
    pub prepared: Arc<Prepared>,
    /// What it is.
    pub analysis: Arc<Analysis>,
    /// Version of the catalog and settings that the analysis was made with.
    pub version: u64,
    /// The same when it was parsed for the client.
    pub parsed_at: u64,
}

/// A bound statement.
#[derive(Clone, Debug)]
pub struct Portal {
    /// The statement.
    pub statement: PreparedStatement,
    /// The Bind without its names.
    pub tail: Bytes,
    /// Version of the settings when it was bound.
    pub settings: u64,
    /// The lead on which it was bound.
    pub bound_on: Option<raidb_core::ids::MemberId>,
}

/// More prepared statements than this in one session are refused (54000).
pub const PREPARED_MAX: usize = 10_000;

/// Names of one session.
#[derive(Debug, Default)]
pub struct Names {
    statements: HashMap<Bytes, PreparedStatement>,
    portals: HashMap<Bytes, Portal>,
    next: u64,
}

/// No version of the catalog and settings.
const PARSED_AS_ANOTHER: u64 = u64::MAX;
/// The type `unknown`, which is resolved like none.
const UNKNOWN_OID: [u8; 4] = [0, 0, 2, 193];
/// First oid of objects made by users; below, oids are the same on every server.
const FIRST_USER_OID: u32 = 16_384;

impl Names {
    /// A new identity.
    pub fn identity(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Statements that Parse has made are others from here on: every connection parses them again. (Those of SQL are refused where
    /// their constants would be read in another way.)
    pub fn renew(&mut self) {
        for known in self.statements.values_mut().filter(|known| known.prepared.by_sql.is_none()) {
            self.next += 1;
            let Prepared { name, text, types, .. } = &*known.prepared;
            let (name, text, types) = (name.clone(), text.clone(), types.clone());
            known.prepared = Arc::new(Prepared { identity: self.next, name, text, types, by_sql: None });
            known.parsed_at = PARSED_AS_ANOTHER;
        }
    }

    /// A statement.
    #[must_use]
    pub fn statement(&self, name: &Bytes) -> Option<&PreparedStatement> {
        self.statements.get(name)
    }

    /// Keeps a statement; the unnamed one is replaced.
    pub fn keep(&mut self, statement: PreparedStatement) {
        self.statements.insert(statement.prepared.name.clone(), statement);
    }

    /// Number of statements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Forgets a statement.
    pub fn close_statement(&mut self, name: &Bytes) {
        self.statements.remove(name);
    }

    /// A portal.
    pub fn portal(&mut self, name: &Bytes) -> Option<&mut Portal> {
        self.portals.get_mut(name)
    }

    /// Binds a portal; the unnamed one is replaced.
    pub fn bind(&mut self, name: Bytes, portal: Portal) {
        self.portals.insert(name, portal);
    }

    /// The same, to look at.
    #[must_use]
    pub fn bound(&self, name: &Bytes) -> Option<&Portal> {
        self.portals.get(name)
    }

    /// Whether a portal of that name exists.
    #[must_use]
    pub fn has_portal(&self, name: &Bytes) -> bool {
        self.portals.contains_key(name)
    }

    /// Forgets a portal.
    pub fn close_portal(&mut self, name: &Bytes) {
        self.portals.remove(name);
    }

    /// Portals end with their transaction.
    pub fn end_transaction(&mut self) {
        self.portals.clear();
    }

    /// DEALLOCATE ALL.
    pub fn forget_all(&mut self) {
        self.statements.clear();
    }
}

/// Parameter type oids of a Parse that mean the same on every member: those of user types become
/// "unspecified", since members number their objects independently (CORRECTNESS.md row 11).
#[must_use]
pub fn portable_types(raw: &Bytes) -> Bytes {
    let oids = raw.get(2..).unwrap_or(&[]).chunks_exact(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]]));
    if oids.clone().all(|oid| oid < FIRST_USER_OID) {
        return raw.clone();
    }
    let mut out = BytesMut::with_capacity(raw.len());
    out.extend_from_slice(&raw[..2]);
    for oid in oids {
        out.put_u32(if oid < FIRST_USER_OID { oid } else { 0 });
    }
    out.freeze()
}
