//! Keys that are used once: what was acknowledged is there, what was refused is not, and nothing else is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::json;

use super::session::keys;
use super::{Broken, Course, Session, Workload, named};
use crate::sql::Endpoint;
use crate::workloads::Ended;
use crate::workloads::unique_inserts::Journal;
use crate::{Result, Summary};

/// The load.
#[derive(Debug, Default)]
pub struct Inserts {
    journal: Mutex<Journal>,
}

impl Workload for Inserts {
    fn tables(&self) -> String {
        format!("create table {}(key bigint primary key, client bigint not null)", named("inserts"))
    }

    async fn client(&self, course: &Course, number: usize) -> Result<()> {
        let mut session = Session::new(course, number);
        let mut key = (number as i64) << 32;
        while course.goes_on() {
            session.ready().await?;
            key += 1;
            let began = Instant::now();
            let sql = format!("insert into {} values ({key}, {number})", named("inserts"));
            let result = match session.count(&sql).await {
                Ok(1) => Ok(Ended::Done),
                Ok(count) => Err(Broken::Wrong(format!("inserted {count} rows: {sql}"))),
                Err(error) => Err(Broken::Commit(error)),
            };
            let ended = session.end(began, result).await;
            course.note(|| json!({"key": key, "ended": format!("{ended:?}")}));
            let mut journal = self.journal();
            match ended {
                Ended::Done => journal.acknowledged.insert(key),
                Ended::RolledBack | Ended::NotDone(_) => journal.refused.insert(key),
                Ended::Unknown(_) | Ended::Unexpected(_) => journal.unknown.insert(key),
            };
        }
        Ok(())
    }

    async fn check(&self, _course: &Course, endpoint: &Endpoint) -> Result<()> {
        let found = keys(endpoint, &format!("select key from {}", named("inserts"))).await?;
        self.journal().compare(&endpoint.shown(), &found)
    }

    fn figures(&self, summary: Summary) -> Summary {
        summary.with("acknowledged", self.journal().acknowledged.len())
    }
}

impl Inserts {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
