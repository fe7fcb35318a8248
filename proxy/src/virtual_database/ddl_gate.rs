//! Nobody is judged by a catalog that DDL has overtaken: the gate closes before the COMMIT of DDL leaves, and opens when the catalog
//! was read again on a lead that holds the DDL.
//!
//! It outlives the session that has closed it: one that ends with an unknown outcome leaves it closed until the catalog is read.
//! Reading is repeated, on whatever member leads then, without a limit of its own: without the catalog no write can
//! be judged. What bounds it is what bounds a lead: one that does not answer is taken out by its heartbeat, `member_timeout`
//! after its last answer; while the last member does not answer, statements are told 57P03 and do not wait here; a lead that
//! answers and has no connection to spare is asked until it has. Who waits notices that its client is gone, and the shutdown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use raidb_core::ids::{LeadEpoch, MemberId};
use tokio::runtime::Handle;

use super::VirtualDatabase;
use super::start::Waiting;
use crate::members::pg::maintenance::QueryError;

/// Pause before the catalog is asked for again.
const PAUSE: Duration = Duration::from_millis(50);
/// How often it is looked whether the lead that is asked still leads.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// What a virtual database knows of DDL that is being committed.
#[derive(Debug, Default)]
pub struct DdlGate {
    under_way: AtomicUsize,
    ended: AtomicU64,
    /// One at a time: of two catalogs the one that was read last is the one that is kept.
    reading: tokio::sync::Mutex<()>,
}

/// Why the catalog was not read.
#[derive(Debug, thiserror::Error)]
enum NotRead {
    #[error("no member answers")]
    Down,
    #[error("the lead is still given what others have committed")]
    Joins,
    #[error("the lead has changed")]
    LeadChanged,
    #[error("{0}")]
    Query(#[from] QueryError),
}

/// DDL that is being committed. Dropped, the catalog is read again, and only then the gate opens.
#[derive(Debug)]
pub struct DdlCommit {
    database: Arc<VirtualDatabase>,
    open: bool,
}

impl DdlCommit {
    /// It was rolled back everywhere: the catalog is as it was.
    pub fn rolled_back(mut self) {
        self.open = true;
        self.database.end_ddl();
    }
}

impl Drop for DdlCommit {
    fn drop(&mut self) {
        if self.open {
            return;
        }
        let database = self.database.clone();
        // Without a runtime the process is ending.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                database.read_catalog_surely().await;
                database.end_ddl();
            });
        }
    }
}

impl VirtualDatabase {
    /// Number of DDL transactions that have ended, or `None` while one commits and the catalog is read again. An
    /// analysis holds only if this was the same before it was made and behind the lead's answer: the statement's own
    /// lock keeps DDL out in between.
    #[must_use]
    pub fn ddl_generation(&self) -> Option<u64> {
        let ended = self.ddl.ended.load(Ordering::SeqCst);
        (self.ddl.under_way.load(Ordering::SeqCst) == 0).then_some(ended)
    }

    /// Number of DDL transactions that have ended.
    #[must_use]
    pub fn ddl_ended(&self) -> u64 {
        self.ddl.ended.load(Ordering::SeqCst)
    }

    /// A DDL transaction is about to be committed.
    #[must_use]
    pub fn start_ddl(self: &Arc<Self>) -> DdlCommit {
        self.ddl.under_way.fetch_add(1, Ordering::SeqCst);
        DdlCommit { database: self.clone(), open: false }
    }

    fn end_ddl(&self) {
        self.ddl.ended.fetch_add(1, Ordering::SeqCst);
        self.ddl.under_way.fetch_sub(1, Ordering::SeqCst);
        self.sessions.wake_all();
    }

    async fn read_catalog_surely(&self) {
        let mut waiting = Waiting::default();
        while let Err(error) = self.read_catalog().await {
            if waiting.is_to_be_said(&error.to_string()) {
                tracing::warn!(
                    virtual_database = self.name,
                    "the catalog is not read behind DDL, statements wait: {error}"
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads it from the present lead, once.
    async fn read_catalog(&self) -> Result<(), NotRead> {
        let _in_order = self.ddl.reading.lock().await;
        let view = self.view();
        if view.down {
            return Err(NotRead::Down);
        }
        if self.membership.joining(view.lead) {
            return Err(NotRead::Joins);
        }
        tokio::select! {
            read = self.read_catalog_of(view.lead) => Ok(read?),
            () = self.leads_no_more(view.lead_epoch) => Err(NotRead::LeadChanged),
        }
    }

    /// The last member answers again and holds everything: its catalog is read before anybody is served.
    pub(super) async fn read_catalog_of_last(&self, member: MemberId) -> Result<(), QueryError> {
        let _in_order = self.ddl.reading.lock().await;
        self.read_catalog_of(member).await
    }

    async fn read_catalog_of(&self, member: MemberId) -> Result<(), QueryError> {
        let member = self.member(member);
        let catalog = self.loader.load(&member.target, &member.login, self.settings.member_timeout).await?;
        *self.catalog.write() = Arc::new(catalog);
        Ok(())
    }

    async fn leads_no_more(&self, epoch: LeadEpoch) {
        loop {
            tokio::time::sleep(LOOK_PAUSE).await;
            let view = self.view();
            if view.lead_epoch != epoch || view.down {
                return;
            }
        }
    }
}
