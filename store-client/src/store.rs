//! The store: where it is, and how to open sessions with it.

use std::sync::Arc;
use std::time::Duration;

use crate::connection::{Backoff, Endpoints, Link, read_url};
use crate::error::Error;
use crate::options::Options;
use crate::schema;
use crate::session::Session;

/// A handle of the store: cheap to clone, holds no connection. Each [`Session`] has one connection of its own, and so has each
/// lock or lease of [`crate::election`].
#[derive(Debug, Clone)]
pub struct Store {
    place: Arc<Place>,
}

#[derive(Debug)]
struct Place {
    endpoints: Endpoints,
    options: Options,
}

impl Store {
    /// The store at a URL, with the default [`Options`]. Nothing is sent yet.
    ///
    /// The URL is libpq's, as `postgresql://user@host:port/database` or `host=… port=… dbname=…`. Several hosts are
    /// tried in their order at each connect: `postgresql://user@h1:p1,h2:p2/database`, `host=h1,h2 port=p1,p2`; with
    /// `load_balance_hosts=random` from a random one on, with `target_session_attrs=read-write` only writable ones.
    ///
    /// TLS: `sslmode=disable`, `prefer` (the default), `require` or `verify-full`; with `sslrootcert=FILE` (PEM) certificate and host
    /// name are verified in every mode but `disable`.
    ///
    /// # Errors
    /// The URL, or the file of `sslrootcert`, cannot be read.
    pub fn open(url: &str) -> Result<Self, Error> {
        Self::with_options(url, Options::default())
    }

    /// The same, with other limits.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub fn with_options(url: &str, options: Options) -> Result<Self, Error> {
        let (mut config, tls) = read_url(url)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(options.connect_timeout);
        }
        if config.get_application_name().is_none() {
            config.application_name("message-store");
        }
        // A peer that is gone without a word (a machine that lost its power) is noticed without a request, too.
        config
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3);
        Ok(Self { place: Arc::new(Place { endpoints: Endpoints::of(&config, tls), options }) })
    }

    /// Creates the tables, or brings them to the version of this program. May be called by every client at every start, several
    /// at once, and again after any error.
    ///
    /// # Errors
    /// The endpoint cannot be reached within [`Options::retry_limit`], refuses a statement, or holds a newer version.
    ///
    /// # Cancel safety
    /// Dropped, it is done or not done; call it again.
    pub async fn migrate(&self) -> Result<(), Error> {
        let mut backoff = Backoff::new(&self.place.options);
        loop {
            let done = async { schema::migrate(&self.connect_once().await?).await };
            match done.await {
                // All of it changes nothing the second time, so a lost answer is no doubt.
                Err(error) if (error.leaves_doubt() || error.is_momentary()) && backoff.wait().await => {}
                done => return done,
            }
        }
    }

    /// Connects, and looks whether the tables are there.
    ///
    /// # Errors
    /// The endpoint cannot be reached within [`Options::retry_limit`] or refuses the session; there are no tables, or of
    /// another version.
    ///
    /// # Cancel safety
    /// Nothing remains of a dropped one.
    pub async fn session(&self) -> Result<Session, Error> {
        let mut backoff = Backoff::new(&self.place.options);
        loop {
            let checked = async {
                let link = self.connect_once().await?;
                schema::expect(&link).await?;
                Ok::<Link, Error>(link)
            };
            match checked.await {
                Ok(link) => return Ok(Session::new(self.clone(), link)),
                Err(error) if (error.is_lost() || error.is_momentary()) && backoff.wait().await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The limits of its sessions.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.place.options
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.place.endpoints
    }

    pub(crate) async fn connect_once(&self) -> Result<Link, Error> {
        Link::connect(&self.place.endpoints, &self.place.options).await
    }
}
