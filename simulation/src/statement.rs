//! The statements of the simulated members, each standing for a family of SQL, and what the proxy makes of them.

use std::fmt;

use raidb_core::ids::ConflictGroup;
use raidb_core::sql::footprint::{Footprint, Rows};

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// `parent(id primary key, v)`, referenced by `child`.
    Parent,
    /// `child(id primary key, pid references parent, u unique, v)`.
    Child,
    /// `item(id primary key, v)`: nothing but its key.
    Item,
    /// `note(id, v)`, without any key.
    Note,
}

/// All of them.
pub const TABLES: [Table; 4] = [Table::Parent, Table::Child, Table::Item, Table::Note];

/// A row. Of `parent`, `item` and `note` the last two stay 0; 0 there is NULL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Values {
    /// Primary key.
    pub id: u32,
    /// Payload.
    pub v: u32,
    /// References a parent.
    pub pid: u32,
    /// Unique.
    pub u: u32,
}

/// A statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// INSERT of given values.
    Insert(Table, Values),
    /// INSERT … ON CONFLICT DO NOTHING.
    InsertIgnore(Table, Values),
    /// INSERT … ON CONFLICT (id) DO UPDATE SET v = v * 2 + excluded.v.
    Upsert(Table, Values),
    /// INSERT INTO child … ON CONFLICT (u) DO UPDATE SET v = v + 1.
    UpsertU(Values),
    /// UPDATE … SET v = v * 3 + k WHERE id = …
    Add(Table, u32, u32),
    /// The same, AND v % 2 = 0.
    AddEven(Table, u32, u32),
    /// UPDATE … SET v = … WHERE id = …: a row that was captured.
    Put(Table, u32, u32),
    /// UPDATE child SET u = … WHERE id = …
    SetU(u32, u32),
    /// UPDATE child SET id = … WHERE id = …
    SetId(u32, u32),
    /// UPDATE child SET pid = … WHERE id = …
    SetPid(u32, u32),
    /// DELETE … WHERE id = …
    Delete(Table, u32),
    /// The same, AND v % 3 = 0.
    DeleteThird(Table, u32),
    /// DELETE FROM child WHERE u = …
    DeleteU(u32),
    /// UPDATE … SET v = v + k WHERE v % 3 = 0: which rows, the lead alone knows.
    Scan(Table, u32),
    /// SELECT … WHERE id = … FOR UPDATE.
    Lock(Table, u32),
}

/// Form of an op for the codec: verb, then six numbers.
type Coded = (&'static str, [u32; 6]);

const FIELDS: usize = 6;

impl Table {
    fn number(self) -> u32 {
        self as u32
    }

    fn of(number: u32) -> Option<Self> {
        TABLES.get(number as usize).copied()
    }

    fn group(self) -> ConflictGroup {
        match self {
            Table::Parent | Table::Child => ConflictGroup(1),
            Table::Item => ConflictGroup(2),
            Table::Note => ConflictGroup(3),
        }
    }
}

impl Op {
    /// The table that it is about.
    #[must_use]
    pub fn table(self) -> Table {
        match self {
            Op::Insert(table, _)
            | Op::InsertIgnore(table, _)
            | Op::Upsert(table, _)
            | Op::Add(table, ..)
            | Op::AddEven(table, ..)
            | Op::Put(table, ..)
            | Op::Delete(table, _)
            | Op::DeleteThird(table, _)
            | Op::Scan(table, _)
            | Op::Lock(table, _) => table,
            Op::UpsertU(_) | Op::SetU(..) | Op::SetId(..) | Op::SetPid(..) | Op::DeleteU(_) => Table::Child,
        }
    }

    /// The word of its command tag.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Op::Insert(..) | Op::InsertIgnore(..) | Op::Upsert(..) | Op::UpsertU(_) => "INSERT 0",
            Op::Delete(..) | Op::DeleteThird(..) | Op::DeleteU(_) => "DELETE",
            Op::Lock(..) => "SELECT",
            Op::Add(..)
            | Op::AddEven(..)
            | Op::Put(..)
            | Op::SetU(..)
            | Op::SetId(..)
            | Op::SetPid(..)
            | Op::Scan(..) => "UPDATE",
        }
    }

    /// Whether it changes rows.
    #[must_use]
    pub fn writes(self) -> bool {
        !matches!(self, Op::Lock(..))
    }

    /// The key that it pins in `item`, the only table where a key is the whole footprint.
    fn item_key(self) -> Option<u32> {
        match self {
            Op::Insert(_, values) | Op::InsertIgnore(_, values) | Op::Upsert(_, values) => Some(values.id),
            Op::Add(_, id, _) | Op::AddEven(_, id, _) | Op::Put(_, id, _) => Some(id),
            Op::Delete(_, id) | Op::DeleteThird(_, id) | Op::Lock(_, id) => Some(id),
            Op::UpsertU(_) | Op::SetU(..) | Op::SetId(..) | Op::SetPid(..) | Op::DeleteU(_) | Op::Scan(..) => None,
        }
    }

    /// What the analysis says of it.
    #[must_use]
    pub fn footprint(self) -> Footprint {
        let table = self.table();
        let rows = match (table, self.item_key()) {
            (Table::Item, Some(key)) => Rows::Keys(vec![u64::from(key)]),
            (Table::Note, _) => Rows::Append,
            _ => Rows::All,
        };
        Footprint::one(table.group(), rows)
    }

    /// What followers and the log get, given the rows that the lead touched.
    #[must_use]
    pub fn transcript_form(self, touched: &[Values]) -> Vec<Op> {
        match self {
            Op::Scan(table, _) => touched.iter().map(|row| Op::Put(table, row.id, row.v)).collect(),
            // Rule 1: what touched nothing is not sent.
            _ if touched.is_empty() => Vec::new(),
            op => vec![op],
        }
    }

    fn coded(self) -> Coded {
        let row = |table: Table, x: Values| [table.number(), x.id, x.v, x.pid, x.u, 0];
        let key = |table: Table, id: u32, k: u32| [table.number(), id, k, 0, 0, 0];
        match self {
            Op::Insert(t, x) => ("I", row(t, x)),
            Op::InsertIgnore(t, x) => ("N", row(t, x)),
            Op::Upsert(t, x) => ("O", row(t, x)),
            Op::UpsertU(x) => ("OU", row(Table::Child, x)),
            Op::Add(t, id, k) => ("A", key(t, id, k)),
            Op::AddEven(t, id, k) => ("AE", key(t, id, k)),
            Op::Put(t, id, v) => ("P", key(t, id, v)),
            Op::SetU(id, u) => ("U", key(Table::Child, id, u)),
            Op::SetId(id, to) => ("K", key(Table::Child, id, to)),
            Op::SetPid(id, pid) => ("F", key(Table::Child, id, pid)),
            Op::Delete(t, id) => ("D", key(t, id, 0)),
            Op::DeleteThird(t, id) => ("DT", key(t, id, 0)),
            Op::DeleteU(u) => ("DU", key(Table::Child, u, 0)),
            Op::Scan(t, k) => ("S", key(t, 0, k)),
            Op::Lock(t, id) => ("L", key(t, id, 0)),
        }
    }

    /// As text, for the recovery log.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// Reads it back.
    #[must_use]
    pub fn decode(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut words = text.split(' ');
        let verb = words.next()?;
        let mut n = [0; FIELDS];
        for field in &mut n {
            *field = words.next()?.parse().ok()?;
        }
        let table = Table::of(n[0])?;
        let values = Values { id: n[1], v: n[2], pid: n[3], u: n[4] };
        Some(match verb {
            "I" => Op::Insert(table, values),
            "N" => Op::InsertIgnore(table, values),
            "O" => Op::Upsert(table, values),
            "OU" => Op::UpsertU(values),
            "A" => Op::Add(table, n[1], n[2]),
            "AE" => Op::AddEven(table, n[1], n[2]),
            "P" => Op::Put(table, n[1], n[2]),
            "U" => Op::SetU(n[1], n[2]),
            "K" => Op::SetId(n[1], n[2]),
            "F" => Op::SetPid(n[1], n[2]),
            "D" => Op::Delete(table, n[1]),
            "DT" => Op::DeleteThird(table, n[1]),
            "DU" => Op::DeleteU(n[1]),
            "S" => Op::Scan(table, n[2]),
            "L" => Op::Lock(table, n[1]),
            _ => return None,
        })
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, fields) = self.coded();
        f.write_str(verb)?;
        fields.iter().try_for_each(|field| write!(f, " {field}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let values = Values { id: 3, v: 4, pid: 5, u: 6 };
        for op in [
            Op::Insert(Table::Child, values),
            Op::InsertIgnore(Table::Child, values),
            Op::Upsert(Table::Child, values),
            Op::UpsertU(values),
            Op::Add(Table::Item, 1, 2),
            Op::AddEven(Table::Item, 1, 2),
            Op::Put(Table::Parent, 1, 2),
            Op::SetU(1, 2),
            Op::SetId(1, 2),
            Op::SetPid(1, 2),
            Op::Delete(Table::Parent, 1),
            Op::DeleteThird(Table::Parent, 1),
            Op::DeleteU(2),
            Op::Scan(Table::Item, 4),
            Op::Lock(Table::Item, 4),
        ] {
            assert_eq!(Op::decode(&op.encode()), Some(op));
        }
        assert_eq!(Op::decode(b"X 1 2 3 4 5 6"), None);
    }
}
