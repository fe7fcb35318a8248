//! What one member says about itself: topic and name to value.

use std::collections::BTreeMap;
use std::time::Duration;

use raidb_core::config::Member;

use super::connect::connect;
use super::queries::{COUNTED_TABLES, QUALIFY_NAMES, TOPICS, Topic};
use crate::members::pg::maintenance::{Maintenance, QueryError, TextRows};

/// Time for one query on the catalog. At the limit: the member counts as not reached.
const CATALOG_TIME_MAX: Duration = Duration::from_secs(60);

/// Time to count the rows of one table. At the limit: the member counts as not reached.
const COUNT_TIME_MAX: Duration = Duration::from_secs(3600);

/// Topic and name to value. Topics are ordered as they are read.
pub(super) type Facts = BTreeMap<(Topic, String), String>;

/// Reads everything from one member.
pub(super) async fn read(member: &Member) -> Result<Facts, String> {
    let mut connection = connect(member).await?;
    let mut facts = Facts::new();
    for (topic, sql) in TOPICS {
        match rows(&mut connection, sql, CATALOG_TIME_MAX).await {
            Ok(rows) => facts.extend(rows.into_iter().filter_map(|row| fact(topic, row))),
            // Not every server version has every column; that both have it not is no difference.
            Err(QueryError::Server { message, .. }) => {
                facts.insert((topic, String::from("(query)")), format!("error: {message}"));
            }
            Err(error) => return Err(error.to_string()),
        }
        if topic == Topic::Setting {
            rows_or_text(&mut connection, QUALIFY_NAMES, CATALOG_TIME_MAX).await?;
        }
    }
    for row in rows_or_text(&mut connection, COUNTED_TABLES, CATALOG_TIME_MAX).await? {
        let Some(Some(table)) = row.into_iter().next() else {
            continue;
        };
        let count = count(&mut connection, &table).await?;
        facts.insert((Topic::Rows, table), count);
    }
    Ok(facts)
}

/// Rows of a table, or why they cannot be counted. `table` is quoted as the server quotes it.
async fn count(connection: &mut Maintenance, table: &str) -> Result<String, String> {
    match rows(connection, &format!("SELECT count(*) FROM ONLY {table}"), COUNT_TIME_MAX).await {
        Ok(rows) => Ok(rows.into_iter().flatten().flatten().next().unwrap_or_default()),
        Err(QueryError::Server { message, .. }) => Ok(format!("error: {message}")),
        Err(error) => Err(error.to_string()),
    }
}

fn fact(topic: Topic, row: Vec<Option<String>>) -> Option<((Topic, String), String)> {
    let mut cells = row.into_iter();
    let name = cells.next()??;
    Some(((topic, name), cells.next()?.unwrap_or_default()))
}

async fn rows_or_text(connection: &mut Maintenance, sql: &str, within: Duration) -> Result<TextRows, String> {
    rows(connection, sql, within).await.map_err(|error| error.to_string())
}

async fn rows(connection: &mut Maintenance, sql: &str, within: Duration) -> Result<TextRows, QueryError> {
    Ok(connection.query(&[sql], within).await?.pop().unwrap_or_default())
}
