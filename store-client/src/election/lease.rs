//! Master by a row with a holder and an end, by the server's clock.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::message::check_name;
use crate::session::Session;
use crate::store::Store;

const EXISTS: &str = "SELECT name FROM store_lease WHERE name = $1";
const MAKE: &str =
    "INSERT INTO store_lease (name, holder, expires, term) VALUES ($1, '', 'epoch', 0) ON CONFLICT (name) DO NOTHING";
/// Repeating it does no harm: the holder's name is this lease's alone.
const TAKE: &str = "UPDATE store_lease SET holder = $2, term = term + CASE WHEN holder = $2 THEN 0 ELSE 1 END, \
     expires = now() + make_interval(secs => $3) WHERE name = $1 AND (holder = $2 OR expires < now()) RETURNING term";
const KEEP: &str =
    "UPDATE store_lease SET expires = now() + make_interval(secs => $3) WHERE name = $1 AND holder = $2 RETURNING term";
const RELEASE: &str =
    "UPDATE store_lease SET holder = '', expires = 'epoch' WHERE name = $1 AND holder = $2 RETURNING term";

/// A lease that was taken. It is not given up by dropping it: it ends with its time.
pub struct Lease {
    session: Session,
    name: String,
    holder: String,
    duration: Duration,
    term: i64,
    ends: Instant,
}

impl Lease {
    /// Takes the lease if it is free or its time is up; one look, which does not wait for the present holder. Poll it, at a part
    /// of `duration`. `holder` is for people who look at the row; a number of its own is added.
    ///
    /// # Errors
    /// A name cannot be stored; the endpoint refuses or cannot be reached.
    ///
    /// # Cancel safety
    /// A dropped one may have taken it: it ends with its time.
    pub async fn try_take(store: &Store, name: &str, holder: &str, duration: Duration) -> Result<Option<Self>, Error> {
        check_name("lease", name)?;
        let mut session = store.session().await?;
        let holder = format!("{holder}/{}", session.reserve(1).await?);
        if session.read(EXISTS, &[&name]).await?.is_empty() {
            session.read(MAKE, &[&name]).await?;
        }
        let asked = Instant::now();
        let rows = session.read(TAKE, &[&name, &holder, &duration.as_secs_f64()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (term, ends) = (row.get(0), asked + duration);
        Ok(Some(Self { session, name: name.to_owned(), holder, duration, term, ends }))
    }

    /// Begins its time anew. Call it well before [`Lease::ends`].
    ///
    /// # Errors
    /// Another one has taken it ([`Error::is_not_held`]): it is lost for good. Otherwise the endpoint refuses or cannot be reached: it may still be
    /// held, until [`Lease::ends`].
    ///
    /// # Cancel safety
    /// It may end later than [`Lease::ends`] says.
    pub async fn keep(&mut self) -> Result<(), Error> {
        let asked = Instant::now();
        let rows = self.session.read(KEEP, &[&self.name, &self.holder, &self.duration.as_secs_f64()]).await?;
        if rows.is_empty() {
            return Err(Error::not_held(format!("lease {} is another one's by now", self.name)));
        }
        self.ends = asked + self.duration;
        Ok(())
    }

    /// Gives it up: the next one gets it at once. One that is lost already is no error.
    ///
    /// # Errors
    /// The endpoint refuses or cannot be reached; it ends with its time.
    ///
    /// # Cancel safety
    /// Given up, or it ends with its time.
    pub async fn release(mut self) -> Result<(), Error> {
        self.session.read(RELEASE, &[&self.name, &self.holder]).await?;
        self.session.close().await;
        Ok(())
    }

    /// From then on another one may have it. By this machine's monotonic clock, counted from before the request was sent: so a
    /// master that stops at this time has stopped before the server gives it to another, as long as the clocks run at
    /// the same speed, and members of a proxy do not differ by more than the caller leaves as margin.
    #[must_use]
    pub fn ends(&self) -> Instant {
        self.ends
    }

    /// Counts the takeovers: who passes it on with what a master writes can tell an old master's writes.
    #[must_use]
    pub fn term(&self) -> i64 {
        self.term
    }

    /// The lease's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}
