//! The lead's catalog as facts that the analysis asks for. Read by `members/pg/catalog`, never changed here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::ids::{ConflictGroup, TableId};

/// The name under which a session's own temporary relations stand in its catalog: it means the same on every connection of the
/// session, while the schema's real name (`pg_temp_3`) differs.
pub const TEMPORARY_SCHEMA: &str = "pg_temp";

/// Whether a schema, as somebody names it, is one of temporary objects.
#[must_use]
pub fn is_temporary_schema(name: &str) -> bool {
    let number = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
    name == TEMPORARY_SCHEMA || name.strip_prefix("pg_temp_").is_some_and(number)
}

/// What kind of relation (`pg_class.relkind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// `r`
    Table,
    /// `p`
    Partitioned,
    /// `v`
    View,
    /// `m`
    MaterializedView,
    /// `f`
    Foreign,
    /// `S`
    Sequence,
    /// Anything else (index, composite type, toast).
    Other,
}

/// What a column gets when an INSERT leaves it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnDefault {
    /// No default: NULL.
    Null,
    /// Only immutable functions and constants: every member computes the same.
    Immutable,
    /// Something that the lead alone can know: `now()`, `random()`, `nextval(…)`, identity.
    LeadOnly,
    /// Calls a user's function that may itself write: an INSERT must not leave the column out.
    Unproven,
    /// `GENERATED ALWAYS AS (…) STORED`: computed by each member from the row; may not be given a value.
    Generated,
}

/// One column, in attribute order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub struct Column {
    /// Name as stored (not quoted).
    pub name: String,
    /// Full SQL name of its type, as `format_type` prints it: usable after `::`.
    pub type_name: String,
    /// Oid of its type (built-in oids are the same on every member).
    pub type_oid: u32,
    /// NOT NULL.
    pub not_null: bool,
    /// Its type is a domain with NOT NULL: a value that is of the type already may be NULL all the same (behind an outer join), and cannot
    /// be given to it again.
    pub domain_not_null: bool,
    /// See [`ColumnDefault`].
    pub default: ColumnDefault,
    /// Its collation, if any, is deterministic (so equal text means equal bytes).
    pub collation_deterministic: bool,
}

impl Column {
    /// Its type is one whose values are object ids of one member, shown as names: `regclass` and its like.
    #[must_use]
    pub fn names_objects(&self) -> bool {
        matches!(self.type_oid, 24 | 2202..=2206 | 3734 | 3769 | 4089 | 4096 | 4191)
    }
}

/// A unique index that is valid, immediate (not deferrable), not partial and over plain columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueKey {
    /// Indexes into [`Table::columns`], in index order.
    pub columns: Vec<usize>,
    /// The primary key.
    pub primary: bool,
}

/// One relation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub struct Table {
    /// Its oid on the member that the catalog was read from.
    pub id: TableId,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: RelationKind,
    /// Columns without dropped ones.
    pub columns: Vec<Column>,
    /// Usable unique keys whose columns are all NOT NULL, primary key first.
    pub keys: Vec<UniqueKey>,
    /// Number of unique or exclusion indexes of any kind, usable as a key or not.
    pub unique_indexes: usize,
    /// Columns (indexes into `columns`) of which they are made, their expressions and predicates included.
    pub unique_columns: Vec<usize>,
    /// A view that calls built-in functions which may write or take locks, itself or through another view.
    pub calls_volatile: bool,
    /// User triggers that are not internal (foreign keys' are internal) and not those that take images.
    pub has_triggers: bool,
    /// The triggers that take images stand on it ([`super::images`]).
    pub captured: bool,
    /// It has triggers or rules of users that fire where images are applied.
    pub fires_on_replica: bool,
    /// Rewrite rules other than a view's own.
    pub has_rules: bool,
    /// Row level security is on.
    pub has_row_security: bool,
    /// A deferrable constraint of any kind is on it, or on a table that references it.
    pub has_deferrable: bool,
    /// Is a partition or a child, or has partitions or children.
    pub inherits: bool,
    /// Tables that reference it or that it references.
    pub has_foreign_keys: bool,
    /// See [`ConflictGroup`].
    pub group: ConflictGroup,
    /// Check constraints, index expressions or generated columns call a function that is not a built-in immutable one.
    pub has_user_functions: bool,
    /// Sequences owned by or used in defaults of its columns: (column index, quoted sequence name with schema).
    pub sequences: Vec<(usize, String)>,
    /// Unlogged or temporary.
    pub temporary: bool,
}

impl Table {
    /// It belongs to the session in whose catalog it stands.
    #[must_use]
    pub fn is_of_session(&self) -> bool {
        self.schema == TEMPORARY_SCHEMA
    }

    /// A relation of which nothing is known but what it is: without columns, keys or anything that acts on writes; its own group.
    #[must_use]
    pub fn new(id: u32, schema: &str, name: &str, kind: RelationKind) -> Self {
        Table {
            id: TableId(id),
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind,
            columns: Vec::new(),
            keys: Vec::new(),
            unique_indexes: 0,
            unique_columns: Vec::new(),
            calls_volatile: false,
            has_triggers: false,
            captured: false,
            fires_on_replica: false,
            has_rules: false,
            has_row_security: false,
            has_deferrable: false,
            inherits: false,
            has_foreign_keys: false,
            group: ConflictGroup(id),
            has_user_functions: false,
            sequences: Vec::new(),
            temporary: false,
        }
    }

    /// The same with this primary key (indexes into [`Table::columns`]).
    #[must_use]
    pub fn with_primary_key(mut self, columns: &[usize]) -> Self {
        self.keys.insert(0, UniqueKey { columns: columns.to_vec(), primary: true });
        self.unique_indexes += 1;
        self.unique_columns.extend(columns);
        self
    }
}

/// Facts of all functions that share a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub struct FunctionFacts {
    /// All of them are in `pg_catalog` and were there when the database was made (oid < 16384).
    pub builtin: bool,
    /// The most volatile of them.
    pub volatility: Volatility,
    /// All of them are compiled functions of extensions that are known to have no effects (pgcrypto, uuid-ossp, citext …).
    pub trusted: bool,
    /// One of them takes a single row, so that it can be called as `row.name`, without parentheses.
    pub attribute: bool,
}

/// Functions of a fresh database, by name. Read once per process and shared by all catalogs.
pub type Builtins = HashMap<String, Volatility>;

/// What can be called: the built-in functions, shared, and those that users made.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    /// Built in, by name.
    pub builtin: Arc<Builtins>,
    /// Made by users or extensions, by name; where a built-in one has the same name, its facts are included.
    pub user: HashMap<String, FunctionFacts>,
}

impl Functions {
    /// Facts of all functions with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<FunctionFacts> {
        if let Some(facts) = self.user.get(name) {
            return Some(*facts);
        }
        let volatility = *self.builtin.get(name)?;
        Some(FunctionFacts { builtin: true, volatility, trusted: true, attribute: false })
    }
}

/// `pg_proc.provolatile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatility {
    /// `i`
    Immutable,
    /// `s`
    Stable,
    /// `v`
    Volatile,
}

/// All facts of one database.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub struct Catalog {
    /// Relations by schema and name.
    pub tables: HashMap<(String, String), Arc<Table>>,
    /// Relations by id.
    pub by_id: HashMap<TableId, Arc<Table>>,
    /// Temporary relations of the session, its indexes included. The catalog that sessions share has none.
    pub temporary: Vec<Arc<Table>>,
    /// Relations by conflict group.
    pub groups: HashMap<ConflictGroup, Vec<Arc<Table>>>,
    /// Functions by unqualified name.
    pub functions: Functions,
    /// Operators made by users (unqualified) whose functions are not those of trusted extensions.
    pub user_operators: HashSet<String>,
    /// A user-defined cast, base type or type with its own functions exists: expressions are not proven by names alone.
    pub user_types: bool,
    /// A volatile function of users handles errors, possibly the one by which a member refuses a write; or leaves a cursor open, which
    /// would be gone with the savepoint of a probe.
    pub probe_tells_little: bool,
    /// Functions of users take or give back advisory locks.
    pub advisory_functions: bool,
    /// Functions or rules of users notify.
    pub notifying_functions: bool,
    /// Policies of row security call functions that may write.
    pub policies_may_write: bool,
    /// Casts, input functions of types or checks of domains call volatile functions of users.
    pub casts_may_write: bool,
    /// The session's temporary schema holds types, functions or the like, which cannot be temporary here.
    pub temporary_others: bool,
    /// The default search path for new sessions, resolved, without `pg_catalog`.
    pub default_search_path: Vec<String>,
    /// Grows with every load; part of the analysis cache key.
    pub version: u64,
}

impl Catalog {
    /// Adds a relation.
    pub fn add(&mut self, table: Table) {
        let table = Arc::new(table);
        if table.is_of_session() {
            self.temporary.push(Arc::clone(&table));
        }
        self.by_id.insert(table.id, Arc::clone(&table));
        self.groups.entry(table.group).or_default().push(Arc::clone(&table));
        self.tables.insert((table.schema.clone(), table.name.clone()), table);
    }

    /// Finds a relation by its name as the parser gives it (already case-folded), or along the search path.
    /// The session's temporary relations, then `pg_catalog`, are searched first unless the path names them, as PostgreSQL does.
    #[must_use]
    pub fn resolve(&self, schema: Option<&str>, name: &str, search_path: &[String]) -> Option<&Arc<Table>> {
        let find = |schema: &str| self.tables.get(&(schema.to_owned(), name.to_owned()));
        match schema {
            Some(schema) => find(schema),
            None => {
                let explicit = search_path.iter().any(|s| s == "pg_catalog");
                let shadowing = !self.temporary.is_empty() && !search_path.iter().any(|s| is_temporary_schema(s));
                let along = |s: &String| find(if is_temporary_schema(s) { TEMPORARY_SCHEMA } else { s });
                (shadowing.then(|| find(TEMPORARY_SCHEMA)).flatten())
                    .or_else(|| (!explicit).then(|| find("pg_catalog")).flatten())
                    .or_else(|| search_path.iter().find_map(along))
            }
        }
    }

    /// This catalog, shared by all, with the temporary relations of one session. Their ids are made up, since those that one member
    /// has given them may be those of other relations here.
    #[must_use]
    pub fn with_temporary(&self, tables: &[Arc<Table>], version: u64) -> Self {
        let mut catalog = Catalog { version, ..self.clone() };
        for (n, table) in (0_u32..).zip(tables) {
            let (id, group) = (TableId(u32::MAX - n), ConflictGroup(u32::MAX));
            catalog.add(Table { id, group, ..(**table).clone() });
        }
        catalog
    }
}
