//! Member equality: per table (and materialized view) row count and order-free 128-bit row hash, sequences,
//! schema.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::Client;

use super::schema::{NOT_OURS, schema_lines};
use crate::cluster::Member;
use crate::sql::{Endpoint, rows};
use crate::{Result, fail};

/// Tables above this many rows are reported by count and hash only.
const ROWS_SHOWN_LIMIT: u64 = 300_000;
/// Differing rows that a report shows.
const DIFFERENCES_SHOWN: usize = 5;

/// How strict the comparison is.
#[derive(Clone, Copy, Debug)]
pub struct EqualityOptions {
    /// Sequences must hand out the same next value everywhere. (A crashed server skips up to 32.)
    pub sequences: bool,
    /// How long members may take to become equal; a commit on a follower may be a moment behind.
    pub settle: Duration,
    /// Only this schema: rows and sequences, and no definitions.
    pub schema: Option<&'static str>,
    /// Tables whose names begin so are passed over: they hold values that no two servers share.
    pub passing_over: Option<&'static str>,
}

impl Default for EqualityOptions {
    fn default() -> Self {
        Self { sequences: true, settle: Duration::from_secs(2), schema: None, passing_over: None }
    }
}

impl EqualityOptions {
    /// Only what that schema holds.
    #[must_use]
    pub fn of_schema(schema: &'static str) -> Self {
        Self { schema: Some(schema), ..Self::default() }
    }

    /// Sequences may differ: for statements whose sequence values were given out but never used.
    #[must_use]
    pub fn without_sequences(self) -> Self {
        Self { sequences: false, ..self }
    }
}

/// A database to compare, and how it is called.
#[derive(Clone, Debug)]
pub struct Address {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub endpoint: Endpoint,
}

/// What one member holds.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    /// Table to (rows, hash, hash).
    tables: BTreeMap<String, (String, String, String)>,
    /// Sequence to the next value that it would hand out.
    sequences: BTreeMap<String, String>,
    schema: Vec<String>,
}

/// Compares `members` by asking each directly, and returns the number of rows that they all hold.
///
/// # Errors
/// They differ after the settling time: the first differences are named. Or a member does not answer.
pub async fn members_equal(members: &[&Member], options: EqualityOptions) -> Result<u64> {
    let address = |member: &&Member| Address { name: member.name().to_owned(), endpoint: member.endpoint() };
    addresses_equal(&members.iter().map(address).collect::<Vec<_>>(), options).await
}

/// The same, wherever they are.
///
/// # Errors
/// As [`members_equal`].
pub async fn addresses_equal(members: &[Address], options: EqualityOptions) -> Result<u64> {
    let Some((first, others)) = members.split_first() else {
        return fail("no member is left to compare");
    };
    let deadline = Instant::now() + options.settle;
    loop {
        let reference = contents(first, options).await?;
        let mut differences = Vec::new();
        for other in others {
            let contents = contents(other, options).await?;
            if contents != reference {
                differences.push(explain((first, &reference), (other, &contents)).await?);
            }
        }
        if differences.is_empty() {
            return Ok(reference.tables.values().filter_map(|(count, ..)| count.parse::<u64>().ok()).sum());
        }
        if Instant::now() > deadline {
            return fail(format!("members differ:\n{}", differences.join("\n")));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn connect(member: &Address) -> Result<Client> {
    let client = member.endpoint.connect().await.map_err(|e| e.during(&member.name))?;
    client.batch_execute("set timezone = 'UTC'; set extra_float_digits = 3; set bytea_output = 'hex'").await?;
    Ok(client)
}

async fn contents(member: &Address, options: EqualityOptions) -> Result<Contents> {
    let client = connect(member).await?;
    let mut tables = BTreeMap::new();
    let passed_over = |table: &str| options.passing_over.is_some_and(|prefix| relation(table).starts_with(prefix));
    for table in names(&client, "'r', 'm'", options).await? {
        if passed_over(&table) {
            continue;
        }
        let hash = |seed: u8| format!("coalesce(sum(hashtextextended(t::text, {seed})::numeric), 0)::text");
        let query = format!("select count(*)::text, {}, {} from {table} t", hash(1), hash(2));
        let mut row = rows(&client, &query).await?.into_iter().flatten().flatten();
        let mut next = || row.next().unwrap_or_default();
        tables.insert(table, (next(), next(), next()));
    }
    let mut sequences = BTreeMap::new();
    if options.sequences {
        for sequence in names(&client, "'S'", options).await? {
            let query = format!(
                "select last_value + case when is_called then seqincrement else 0 end \
                 from {sequence}, pg_sequence where seqrelid = '{sequence}'::regclass"
            );
            let next = rows(&client, &query).await?.into_iter().flatten().flatten().next();
            sequences.insert(sequence, next.unwrap_or_default());
        }
    }
    let mut schema = if options.schema.is_some() { Vec::new() } else { schema_lines(&client).await? };
    if options.passing_over.is_some() {
        // A bare server is among them, which takes no images of rows.
        schema.retain(|line| !line.starts_with("trigger CREATE TRIGGER raidb_capture"));
    }
    Ok(Contents { tables, sequences, schema })
}

/// Quoted names of all relations of a kind.
async fn names(client: &Client, kind: &str, options: EqualityOptions) -> Result<Vec<String>> {
    let only = options.schema.map_or(String::new(), |schema| format!(" and n.nspname = '{schema}'"));
    let query = format!(
        "select quote_ident(n.nspname) || '.' || quote_ident(c.relname) from pg_class c \
         join pg_namespace n on n.oid = c.relnamespace where c.relkind in ({kind}) and {NOT_OURS}{only} order by 1"
    );
    Ok(rows(client, &query).await?.into_iter().flatten().flatten().collect())
}

/// The part of a qualified name behind the schema, as far as it matters to those who name tables after a prefix.
fn relation(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

async fn explain(left: (&Address, &Contents), right: (&Address, &Contents)) -> Result<String> {
    let ((left, a), (right, b)) = (left, right);
    let mut text = vec![format!("{} and {}:", left.name, right.name)];
    for line in a.schema.iter().filter(|line| !b.schema.contains(line)).take(DIFFERENCES_SHOWN) {
        text.push(format!("  schema, only on {}: {line}", left.name));
    }
    for line in b.schema.iter().filter(|line| !a.schema.contains(line)).take(DIFFERENCES_SHOWN) {
        text.push(format!("  schema, only on {}: {line}", right.name));
    }
    for (name, value) in &a.sequences {
        let other = b.sequences.get(name);
        if other.is_some_and(|other| other != value) {
            text.push(format!("  sequence {name}: next is {value} and {}", other.map_or("-", String::as_str)));
        }
    }
    for (table, here) in &a.tables {
        let Some(there) = b.tables.get(table).filter(|there| *there != here) else {
            continue;
        };
        text.push(format!("  table {table}: {} and {} rows", here.0, there.0));
        let small = |count: &str| count.parse::<u64>().is_ok_and(|count| count <= ROWS_SHOWN_LIMIT);
        if small(&here.0) && small(&there.0) {
            text.extend(differing_rows(left, right, table).await?);
        }
    }
    Ok(text.join("\n"))
}

/// The first rows that only one of the two members holds.
async fn differing_rows(left: &Address, right: &Address, table: &str) -> Result<Vec<String>> {
    let query = format!("select t::text from {table} t order by 1");
    let mut counts: HashMap<String, i64> = HashMap::new();
    for (member, sign) in [(left, 1), (right, -1)] {
        let found = rows(&connect(member).await?, &query).await?;
        for row in found.into_iter().flatten().flatten() {
            *counts.entry(row).or_default() += sign;
        }
    }
    let mut rows: Vec<_> = counts.into_iter().filter(|(_, count)| *count != 0).collect();
    rows.sort();
    let total = rows.len();
    let shown = rows.into_iter().take(DIFFERENCES_SHOWN).map(|(row, count)| {
        let member = if count > 0 { left } else { right };
        format!("    only on {}: {row}", member.name)
    });
    let mut lines: Vec<_> = shown.collect();
    if total > DIFFERENCES_SHOWN {
        lines.push(format!("    and {} more", total - DIFFERENCES_SHOWN));
    }
    Ok(lines)
}
