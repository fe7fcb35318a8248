//! Messages that go: from a queue at once, from a topic when nobody waits for them any more.

use crate::body;
use crate::connection::Link;
use crate::error::Error;

const DELETE: &str = "DELETE FROM store_message WHERE destination = $1 AND id = $2 RETURNING chunks";
const DELETE_PENDING: &str = "DELETE FROM store_pending WHERE subscription = $1 AND rank = $2 AND message = $3";
/// The row lock orders those who acknowledge the same message: the last one sees 0.
const ONE_LESS: &str =
    "UPDATE store_message SET waiting = waiting - 1 WHERE destination = $1 AND id = $2 RETURNING waiting";

/// A message that goes.
#[derive(Debug, Clone)]
pub(crate) struct Removed {
    pub(crate) destination: String,
    pub(crate) id: i64,
    pub(crate) rank: i16,
    /// Who no longer waits for it.
    pub(crate) by: By,
}

/// Why a message goes.
#[derive(Debug, Clone)]
pub(crate) enum By {
    /// For everybody: a queue's message.
    All,
    /// For everybody: a topic's message, of which these subscriptions may know.
    Topic(Vec<i64>),
    /// One subscription has acknowledged it.
    Subscription(i64),
}

/// Removes them; how many were there for whom they go. One that is gone already is no error.
pub(crate) async fn remove(link: &Link, removals: &[Removed]) -> Result<u64, Error> {
    let pending: Vec<(&Removed, i64)> = removals.iter().flat_map(pending_of).collect();
    let sets: Vec<_> =
        pending.iter().map(|(removed, by)| vec![by as _, &removed.rank as _, &removed.id as _]).collect();
    let gone = link.execute_each(DELETE_PENDING, &sets).await?;

    let acknowledged = pending.iter().zip(gone).filter(|((removed, _), rows)| is_subscriber(removed) && *rows == 1);
    let acknowledged: Vec<&Removed> = acknowledged.map(|((removed, _), _)| *removed).collect();
    let left = link.row_each(ONE_LESS, &keys(&acknowledged)).await?;
    let last =
        acknowledged.iter().zip(left).filter(|(_, row)| row.as_ref().is_some_and(|row| row.get::<_, i32>(0) <= 0));
    let last: Vec<&Removed> = last.map(|(removed, _)| *removed).collect();

    let whole: Vec<&Removed> = removals.iter().filter(|removed| !is_subscriber(removed)).collect();
    let found = delete(link, &whole).await?;
    delete(link, &last).await?;
    Ok(found + acknowledged.len() as u64)
}

async fn delete(link: &Link, removed: &[&Removed]) -> Result<u64, Error> {
    let rows = link.row_each(DELETE, &keys(removed)).await?;
    let mut count = 0;
    for (removed, row) in removed.iter().zip(rows) {
        if let Some(row) = row {
            body::delete(link, removed.id, row.get(0)).await?;
            count += 1;
        }
    }
    Ok(count)
}

fn keys<'a>(removed: &[&'a Removed]) -> Vec<Vec<&'a (dyn tokio_postgres::types::ToSql + Sync)>> {
    removed.iter().map(|removed| vec![&removed.destination as _, &removed.id as _]).collect()
}

fn is_subscriber(removed: &Removed) -> bool {
    matches!(removed.by, By::Subscription(_))
}

fn pending_of(removed: &Removed) -> Vec<(&Removed, i64)> {
    match &removed.by {
        By::All => Vec::new(),
        By::Topic(subscriptions) => subscriptions.iter().map(|id| (removed, *id)).collect(),
        By::Subscription(id) => vec![(removed, *id)],
    }
}
