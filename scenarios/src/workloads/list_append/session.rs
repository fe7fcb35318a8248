//! One connection of a client: its statements, by the simple or the extended protocol.

use tokio_postgres::{Client, Error, SimpleQueryMessage, Statement};

use super::plan::Form;
use super::table;
use crate::Result;
use crate::checkers::isolation::Level;
use crate::sql::Endpoint;

/// How a client talks: the same over all its connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Simple protocol, with literals; else statements that are prepared once.
    pub(super) is_simple: bool,
    /// The level is the session's default; else each BEGIN names it.
    pub(super) has_default: bool,
    pub(super) level: Level,
}

/// Statements that are prepared once.
#[derive(Debug)]
struct Prepared {
    upsert: Statement,
    update: Statement,
    read: Statement,
}

#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    manner: Manner,
    prepared: Option<Prepared>,
}

impl Session {
    pub(super) async fn open(endpoint: &Endpoint, manner: Manner) -> Result<Self> {
        let client = endpoint.connect().await?;
        if manner.has_default {
            let level = manner.level.sql();
            client.batch_execute(&format!("set default_transaction_isolation = '{level}'")).await?;
        }
        let prepared = if manner.is_simple { None } else { Some(Prepared::make(&client, manner.level).await?) };
        Ok(Self { client, manner, prepared })
    }

    /// True if a statement by itself runs at the level: else it needs a block.
    pub(super) fn may_run_alone(&self) -> bool {
        self.manner.has_default || self.manner.level == Level::ReadCommitted
    }

    pub(super) async fn begin(&self) -> Result<(), Error> {
        if self.manner.has_default {
            return self.client.batch_execute("begin").await;
        }
        self.client.batch_execute(&format!("begin isolation level {}", self.manner.level.sql())).await
    }

    pub(super) async fn commit(&self) -> Result<(), Error> {
        self.client.batch_execute("commit").await
    }

    /// False if the connection is lost: the transaction is rolled back then as well.
    pub(super) async fn rollback(&self) -> bool {
        self.client.batch_execute("rollback").await.is_ok()
    }

    /// Appends by this form; false if the form found no row to append to.
    pub(super) async fn append(&self, key: i64, element: i64, form: Form) -> Result<bool, Error> {
        let list = [element];
        let count = match (&self.prepared, form) {
            (Some(prepared), Form::Upsert) => self.client.execute(&prepared.upsert, &[&key, &&list[..]]).await?,
            (Some(prepared), Form::Update) => self.client.execute(&prepared.update, &[&key, &&list[..]]).await?,
            (None, form) => {
                let list = format!("'{{{element}}}'");
                self.count(&statement(form, self.manner.level, &key.to_string(), &list)).await?
            }
        };
        Ok(count == 1)
    }

    async fn count(&self, sql: &str) -> Result<u64, Error> {
        let messages = self.client.simple_query(sql).await?;
        let count = messages.into_iter().find_map(|message| match message {
            SimpleQueryMessage::CommandComplete(count) => Some(count),
            _ => None,
        });
        Ok(count.unwrap_or_default())
    }

    /// The list of a key; empty, if there is none.
    pub(super) async fn read(&self, key: i64) -> Result<Vec<i64>, Error> {
        if let Some(prepared) = &self.prepared {
            let row = self.client.query_opt(&prepared.read, &[&key]).await?;
            return row.map_or(Ok(Vec::new()), |row| row.try_get(0));
        }
        let messages = self.client.simple_query(&read(self.manner.level, &key.to_string())).await?;
        let text = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(text.map(elements).unwrap_or_default())
    }
}

impl Prepared {
    async fn make(client: &Client, level: Level) -> Result<Self> {
        let upsert = client.prepare(&statement(Form::Upsert, level, "$1", "$2")).await?;
        let update = client.prepare(&statement(Form::Update, level, "$1", "$2")).await?;
        Ok(Self { upsert, update, read: client.prepare(&read(level, "$1")).await? })
    }
}

fn statement(form: Form, level: Level, key: &str, list: &str) -> String {
    let table = table(level);
    match form {
        Form::Upsert => format!(
            "insert into {table}(k, v) values ({key}, {list}) on conflict (k) do update set v = {table}.v || excluded.v"
        ),
        Form::Update => format!("update {table} set v = v || {list}::bigint[] where k = {key}"),
    }
}

fn read(level: Level, key: &str) -> String {
    format!("select v from {} where k = {key}", table(level))
}

/// The elements of an array's text form.
fn elements(text: &str) -> Vec<i64> {
    text.trim_matches(['{', '}']).split(',').filter_map(|element| element.parse().ok()).collect()
}
