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
pub(super) struct Watch {
    history: Arc<Mutex<History>>,
    task: JoinHandle<()>,
}

impl Watch {
    pub(super) fn start(admin: &str) -> Self {
        let history = Arc::new(Mutex::new(History::default()));
        let task = tokio::spawn(look_for_ever(admin.to_owned(), Arc::clone(&history)));
        Self { history, task }
    }

    /// Waits until a look that began after `back` saw all members enabled, and, if `out` names a member, until that
    /// one was seen in another state since `since`. Returns the time from `back` on.
    pub(super) async fn all_enabled(
        &self,
        (since, back): (Instant, Instant),
        out: Option<&str>,
        limit: Duration,
    ) -> Result<Duration> {
        loop {
            let noticed = out.is_none_or(|name| self.was_out(name, since));
            if let Some(when) = self.all_enabled_at().filter(|when| noticed && *when >= back) {
                return Ok(when.duration_since(back));
            }
            if back.elapsed() > limit {
                return fail(self.why_not(noticed, out, limit));
            }
            sleep(EVERY / 2).await;
        }
    }

    /// True if `name` was seen in another state than enabled since `since`.
    fn was_out(&self, name: &str, since: Instant) -> bool {
        let history = lock(&self.history);
        let looks =
            history.changes.iter().filter(|(when, _)| *when >= since).filter_map(|(_, look)| look.as_ref().ok());
        looks.flatten().any(|(member, state)| member == name && state != "enabled")
    }

    /// When the last look began, if it saw all members enabled.
    fn all_enabled_at(&self) -> Option<Instant> {
        let history = lock(&self.history);
        let (_, look) = history.changes.last()?;
        let states = look.as_ref().ok()?;
        history.latest.filter(|_| !states.is_empty() && states.iter().all(|(_, state)| state == "enabled"))
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
    pub(super) fn timeline(&self, since: Instant) -> String {
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
