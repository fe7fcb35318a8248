//! One client: a connection, its transactions one after the other, and what it was told of each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::plan::{Form, Plan, Plans, Step};
use super::session::{Manner, Session};
use super::{Load, Told};
use crate::Result;
use crate::checkers::isolation::{Ending, Operation, Transaction};
use crate::sql::Endpoint;
use crate::workloads::Ended;

/// Wait before the next attempt to connect.
const RETRY: Duration = Duration::from_millis(20);
/// Longest time without a server, all members killed and the proxy started again included.
const AWAY_LIMIT: Duration = Duration::from_secs(60);
/// Elements are numbered by client, and so many of each client differ.
const ELEMENTS: i64 = 100_000_000;

/// The order of all moments of a history: each is given out once.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    /// The next moment.
    pub fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

pub(super) async fn run(endpoint: &Endpoint, load: Load, number: usize, clock: &Clock) -> Result<Told> {
    let manner =
        Manner { is_simple: number.is_multiple_of(2), has_default: (number / 2).is_multiple_of(2), level: load.level };
    let mut plans = Plans::new(load.seed, number, load.clients);
    let mut client = Client { number, clock, element: number as i64 * ELEMENTS, told: Told::default() };
    let mut session = None;
    for _ in 0..load.transactions {
        if load.until.is_some_and(|until| Instant::now() > until) {
            break;
        }
        let open = match session.take() {
            Some(open) => open,
            None => connect(endpoint, manner).await?,
        };
        if client.transact(&open, &plans.draw()).await {
            session = Some(open);
        }
    }
    Ok(client.told)
}

async fn connect(endpoint: &Endpoint, manner: Manner) -> Result<Session> {
    let start = Instant::now();
    loop {
        match Session::open(endpoint, manner).await {
            Ok(session) => return Ok(session),
            Err(error) if start.elapsed() > AWAY_LIMIT => {
                return Err(error.during(format!("no connection for {AWAY_LIMIT:?}")));
            }
            Err(_) => sleep(RETRY).await,
        }
    }
}

struct Client<'a> {
    number: usize,
    clock: &'a Clock,
    /// The last element that was appended.
    element: i64,
    told: Told,
}

impl Client<'_> {
    /// One transaction; false if its connection cannot be used again.
    async fn transact(&mut self, session: &Session, plan: &Plan) -> bool {
        let is_block = plan.is_block || !session.may_run_alone();
        let began = self.clock.tick();
        let mut operations = Vec::new();
        let ended = self.run(session, plan, is_block, &mut operations).await;
        let mut is_usable = true;
        if is_block && matches!(ended, Ended::NotDone(_)) {
            // If the connection is lost, the transaction is gone with it.
            is_usable = session.rollback().await;
        }
        let ending = self.book(ended, &mut is_usable);
        if ending != Ending::Committed {
            // What was read counts for nothing then, and it was not all.
            operations.retain(|operation| matches!(operation, Operation::Append { .. }));
        }
        let ended = self.clock.tick();
        self.told.history.push(Transaction { client: self.number, began, ended, operations, ending });
        is_usable
    }

    /// Runs it to its end; `operations` gets what was done, and the append that may have been done.
    async fn run(&mut self, session: &Session, plan: &Plan, is_block: bool, operations: &mut Vec<Operation>) -> Ended {
        let broken = if is_block { Ended::before_commit } else { Ended::at_commit };
        if is_block && let Err(error) = session.begin().await {
            return Ended::before_commit(error);
        }
        for step in &plan.steps {
            let done = match *step {
                Step::Append(key, form) => self.append(session, (key, form), operations).await,
                Step::Read(key) => match session.read(key).await {
                    Ok(list) => {
                        operations.push(Operation::Read { key, list });
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = done {
                return broken(error);
            }
        }
        if plan.rolls_back && is_block {
            // Whether the answer arrives or not, a rollback commits nothing.
            return if session.rollback().await { Ended::RolledBack } else { Ended::NotDone("lost".to_owned()) };
        }
        if !is_block {
            return Ended::Done;
        }
        session.commit().await.map_or_else(Ended::at_commit, |()| Ended::Done)
    }

    async fn append(
        &mut self,
        session: &Session,
        (key, form): (i64, Form),
        operations: &mut Vec<Operation>,
    ) -> Result<(), tokio_postgres::Error> {
        self.element += 1;
        operations.push(Operation::Append { key, element: self.element });
        if session.append(key, self.element, form).await? {
            return Ok(());
        }
        // There was no row to append to, so nothing has been appended yet.
        session.append(key, self.element, Form::Upsert).await.map(drop)
    }

    fn book(&mut self, ended: Ended, is_usable: &mut bool) -> Ending {
        match ended {
            Ended::Done => Ending::Committed,
            Ended::RolledBack => Ending::Aborted,
            Ended::NotDone(code) => {
                *is_usable &= code.starts_with("40");
                *self.told.aborted.entry(code).or_default() += 1;
                Ending::Aborted
            }
            Ended::Unknown(why) => {
                *is_usable = false;
                *self.told.unknown.entry(why).or_default() += 1;
                Ending::Unknown
            }
            Ended::Unexpected(text) => {
                *is_usable = false;
                self.told.unexpected.push(format!("client {}: {text}", self.number));
                Ending::Unknown
            }
        }
    }
}
