//! Looks at `/status` all the time and remembers every change of a member's state.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::cluster::{states_in, status_at};
use crate::{Result, fail};

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(20);
/// Changes that are remembered; older ones belong to cycles that passed.
const CHANGES_KEPT: usize = 200;

/// What one look saw: name and state of each member, or why there was no answer.
type Look = std::result::Result<Vec<(String, String)>, String>;

#[derive(Debug, Default)]
struct History {
    changes: Vec<(Instant, Look)>,
    /// When the last look began.
    latest: Option<Instant>,
}

/// The task that looks; it ends with this.
#[derive(Debug)]
pub(in super::super) struct Watch {
    history: Arc<Mutex<History>>,
    task: JoinHandle<()>,
}

impl Watch {
    pub(in super::super) fn start(admin: &str) -> Self {
        let history = Arc::new(Mutex::new(History::default()));
        let task = tokio::spawn(look_for_ever(admin.to_owned(), Arc::clone(&history)));
        Self { history, task }
    }

    /// Waits until a look that began after `back` saw all members enabled, and, if `out` names a member, until that
    /// one was seen in another state since `since`.
    pub(in super::super) async fn all_enabled(
        &self,
        (since, back): (Instant, Instant),
        out: Option<&str>,
        limit: Duration,
    ) -> Result<()> {
        loop {
            let noticed = out.is_none_or(|name| self.was_out(name, since));
            if noticed && self.all_enabled_since(back).is_some() {
                return Ok(());
            }
            if back.elapsed() > limit {
                return fail(self.why_not(noticed, out, limit));
            }
            sleep(EVERY / 2).await;
        }
    }

    /// Waits for a look that began after `moment`; `limit` is for a proxy that does not answer.
    pub(in super::super) async fn look_after(&self, moment: Instant, limit: Duration) -> Result<()> {
        while lock(&self.history).latest.is_none_or(|latest| latest < moment) {
            if moment.elapsed() > limit {
                return fail(format!("/status does not answer within {limit:?}"));
            }
            sleep(EVERY / 2).await;
        }
        Ok(())
    }

    /// If the last look began after `moment` and saw all members enabled: since when that has been so.
    pub(in super::super) fn all_enabled_since(&self, moment: Instant) -> Option<Instant> {
        let history = lock(&self.history);
        let (since, look) = history.changes.last()?;
        let states = look.as_ref().ok()?;
        let is_enabled = !states.is_empty() && states.iter().all(|(_, state)| state == "enabled");
        history.latest.filter(|latest| is_enabled && *latest >= moment).map(|_| *since)
    }

    /// True if `name` was seen in another state than enabled since `since`.
    fn was_out(&self, name: &str, since: Instant) -> bool {
        let history = lock(&self.history);
        let looks =
            history.changes.iter().filter(|(when, _)| *when >= since).filter_map(|(_, look)| look.as_ref().ok());
        looks.flatten().any(|(member, state)| member == name && state != "enabled")
    }

    /// Fails if that member was seen in another state than enabled since `since`.
    pub(in super::super) fn expect_not_out(&self, name: Option<&str>, since: Instant) -> Result<()> {
        match name.filter(|name| self.was_out(name, since)) {
            Some(name) => fail(format!("{name} was taken out for a slow link:\n{}", self.timeline(since))),
            None => Ok(()),
        }
    }

    fn why_not(&self, noticed: bool, out: Option<&str>, limit: Duration) -> String {
        if !noticed {
            let name = out.unwrap_or_default();
            return format!("the fault went unnoticed: {name} was never seen in another state than enabled");
        }
        let history = lock(&self.history);
        let last = match history.changes.last() {
            Some((_, Ok(states))) => {
                let others = states.iter().filter(|(_, state)| state != "enabled");
                others.map(|(name, state)| format!("{name} is {state}")).collect::<Vec<_>>().join(", ")
            }
            Some((_, Err(error))) => error.clone(),
            None => "no look at /status yet".to_owned(),
        };
        format!("not all members are enabled {limit:?} after the last process was started again: {last}")
    }

    /// All changes since `since`, one a line, with the time from there on.
    pub(in super::super) fn timeline(&self, since: Instant) -> String {
        let mut text = String::new();
        for (when, look) in &lock(&self.history).changes {
            let Some(after) = when.checked_duration_since(since) else {
                continue;
            };
            let states = match look {
                Ok(states) => {
                    states.iter().map(|(name, state)| format!("{name}={state}")).collect::<Vec<_>>().join(" ")
                }
                Err(error) => format!("no status: {error}"),
            };
            let _ = writeln!(text, "   +{:.3} s {states}", after.as_secs_f64());
        }
        text
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look_for_ever(admin: String, history: Arc<Mutex<History>>) {
    loop {
        let began = Instant::now();
        let look: Look = match status_at(&admin).await {
            Ok(status) => states_in(&status).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        {
            let mut history = lock(&history);
            history.latest = Some(began);
            if history.changes.last().is_none_or(|(_, last)| *last != look) {
                history.changes.push((began, look));
            }
            let surplus = history.changes.len().saturating_sub(CHANGES_KEPT);
            history.changes.drain(..surplus);
        }
        sleep(EVERY).await;
    }
}

fn lock(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}
