//! The store: one session with the endpoint.

use crate::error::{Doing, Error};
use crate::lease::Lease;
use crate::message::{Message, MessageId};
use crate::schema;
use futures::future::try_join_all;
use tokio_postgres::{Client, NoTls, Statement};

/// One session with the store. Writes take `&mut self`: a session does one at a time.
///
/// # Cancel safety
/// A dropped future of a write leaves its outcome unknown, as a lost connection does. No method leaves a
/// transaction open.
pub struct Store {
    client: Client,
    lease: Lease,
    insert: Option<Statement>,
    delete: Option<Statement>,
}

impl Store {
    /// Connects to a PostgreSQL endpoint, without TLS.
    ///
    /// # Errors
    /// The url cannot be read, the endpoint cannot be reached or refuses the session.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let connected = tokio_postgres::connect(url, NoTls).await;
        let (client, connection) = connected.map_err(Error::while_doing(Doing::Connecting))?;
        // Ends with the client; what it ends with is the error of the request that runs then.
        tokio::spawn(connection);
        Ok(Self { client, lease: Lease::default(), insert: None, delete: None })
    }

    /// Creates the tables where they are missing. May be called by every client at every start.
    ///
    /// # Errors
    /// The endpoint refuses a statement.
    pub async fn create_schema(&mut self) -> Result<(), Error> {
        for statement in schema::CREATE {
            self.client.batch_execute(statement).await.map_err(Error::while_doing(Doing::Writing))?;
        }
        Ok(())
    }

    /// Takes an id that no other message has or will have. Ids of one session ascend; those of several do not
    /// ascend together.
    ///
    /// # Errors
    /// There is no schema yet, or the endpoint refuses the lease of more ids.
    pub async fn reserve(&mut self) -> Result<MessageId, Error> {
        if let Some(id) = self.lease.take() {
            return Ok(id);
        }
        let row = self.client.query_opt(schema::LEASE, &[&schema::LEASE_IDS]).await;
        let row = row.map_err(Error::while_doing(Doing::Preparing))?.ok_or_else(Error::no_schema)?;
        self.lease = Lease::ending_before(row.get(0), schema::LEASE_IDS);
        self.lease.take().ok_or_else(Error::no_schema)
    }

    /// Appends one message under a new id, in a transaction of its own.
    ///
    /// # Errors
    /// The endpoint refuses, or the connection is lost; see [`Error::is_unknown_outcome`].
    pub async fn append(&mut self, queue: &str, body: &[u8]) -> Result<MessageId, Error> {
        let id = self.reserve().await?;
        let insert = self.insert_statement().await?;
        let done = self.client.execute(&insert, &[&queue, &id.number(), &body]).await;
        done.map_err(Error::while_doing(Doing::Writing))?;
        Ok(id)
    }

    /// Appends all messages or none, in one transaction and one pipeline.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub async fn append_batch<B: AsRef<[u8]> + Sync>(
        &mut self,
        queue: &str,
        bodies: &[B],
    ) -> Result<Vec<MessageId>, Error> {
        let mut ids = Vec::with_capacity(bodies.len());
        for _ in bodies {
            ids.push(self.reserve().await?);
        }
        let insert = self.insert_statement().await?;
        let failed = Error::while_doing(Doing::Writing);
        let transaction = self.client.transaction().await.map_err(&failed)?;
        let inserts = ids.iter().zip(bodies).map(|(id, body)| {
            let (transaction, insert) = (&transaction, &insert);
            let (number, body) = (id.number(), body.as_ref());
            async move { transaction.execute(insert, &[&queue, &number, &body]).await }
        });
        try_join_all(inserts).await.map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(ids)
    }

    /// Stores a message under a reserved id. Tells whether it was new: a repetition changes nothing, so this is
    /// how to go on after an unknown outcome.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub async fn put(&mut self, queue: &str, id: MessageId, body: &[u8]) -> Result<bool, Error> {
        let rows = self.client.execute(schema::PUT, &[&queue, &id.number(), &body]).await;
        Ok(rows.map_err(Error::while_doing(Doing::Writing))? == 1)
    }

    /// Up to `limit` messages with ids above `after`, in the order of their ids.
    ///
    /// With several producers a message may come to lie *before* one that was read already, since each producer
    /// has a block of ids of its own. A consumer that must not miss one removes what it has handled and pages
    /// from `None`; `after` is for looking through a queue.
    ///
    /// # Errors
    /// The endpoint refuses, or the connection is lost.
    pub async fn page(&self, queue: &str, after: Option<MessageId>, limit: u32) -> Result<Vec<Message>, Error> {
        let after = after.map_or(i64::MIN, MessageId::number);
        let rows = self.client.query(schema::PAGE, &[&queue, &after, &i64::from(limit)]).await;
        let rows = rows.map_err(Error::while_doing(Doing::Reading))?;
        Ok(rows.iter().map(|row| Message { id: MessageId::from_number(row.get(0)), body: row.get(1) }).collect())
    }

    /// Removes messages, all in one transaction; returns how many were there.
    ///
    /// # Errors
    /// As [`Store::append`]. Removing again is always safe.
    pub async fn remove(&mut self, queue: &str, ids: &[MessageId]) -> Result<u64, Error> {
        let delete = self.delete_statement().await?;
        let failed = Error::while_doing(Doing::Writing);
        let transaction = self.client.transaction().await.map_err(&failed)?;
        let deletes = ids.iter().map(|id| {
            let (transaction, delete) = (&transaction, &delete);
            let number = id.number();
            async move { transaction.execute(delete, &[&queue, &number]).await }
        });
        let counts = try_join_all(deletes).await.map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(counts.iter().sum())
    }

    /// How many messages the queue holds.
    ///
    /// # Errors
    /// The endpoint refuses, or the connection is lost.
    pub async fn count(&self, queue: &str) -> Result<u64, Error> {
        let row = self.client.query_one(schema::COUNT, &[&queue]).await;
        let count: i64 = row.map_err(Error::while_doing(Doing::Reading))?.get(0);
        Ok(count.unsigned_abs())
    }

    async fn insert_statement(&mut self) -> Result<Statement, Error> {
        prepared(&self.client, &mut self.insert, schema::INSERT).await
    }

    async fn delete_statement(&mut self) -> Result<Statement, Error> {
        prepared(&self.client, &mut self.delete, schema::DELETE).await
    }
}

/// The statement, prepared at its first use. Preparing changes nothing, so a lost connection is no unknown outcome.
async fn prepared(client: &Client, slot: &mut Option<Statement>, sql: &str) -> Result<Statement, Error> {
    if let Some(statement) = slot {
        return Ok(statement.clone());
    }
    let statement = client.prepare(sql).await.map_err(Error::while_doing(Doing::Preparing))?;
    Ok(slot.insert(statement).clone())
}
