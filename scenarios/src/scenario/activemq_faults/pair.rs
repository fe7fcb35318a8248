//! Two brokers on one store, of which one is the master. Each is started again when it has ended, as a service manager does.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::clients::JavaProcess;
use crate::cluster::free_port;
use crate::sql::Endpoint;
use crate::workloads::activemq::{ActiveMq, Locker};
use crate::{Failure, Result, fail};

/// Wait before a broker that has ended is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// A killed process is gone within this time.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// What a broker is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Has no process.
    Away,
    /// Starts, or waits for the lock.
    Waiting,
    /// Has had the lock since then.
    Master(Instant),
}

/// Two masters at one time, as seen from outside: from when on the second one was, and when the first one ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overlap {
    pub at: Instant,
    pub length: Duration,
}

#[derive(Debug, Default)]
struct Seen {
    states: Vec<Option<State>>,
    takeovers: u64,
    overlaps: Vec<Overlap>,
    /// Ends that nobody caused by killing: when, and of whom.
    own_ends: Vec<(Instant, String)>,
    /// How often each has ended, killed or by itself.
    ends: [u64; 2],
    broken: Option<String>,
}

/// The brokers, and what was seen of them. Dropping it kills them.
#[derive(Debug)]
pub(super) struct Pair {
    seen: Arc<Mutex<Seen>>,
    kills: Vec<mpsc::Sender<()>>,
    tasks: Vec<JoinHandle<()>>,
    pub ports: [u16; 2],
}

/// What one broker's supervisor needs.
struct Supervisor {
    programs: Arc<ActiveMq>,
    endpoint: Endpoint,
    locker: Locker,
    folder: PathBuf,
    number: usize,
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

impl Pair {
    pub(super) fn start(
        programs: &Arc<ActiveMq>,
        endpoint: &Endpoint,
        locker: Locker,
        folder: &std::path::Path,
    ) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Seen { states: vec![None; 2], ..Seen::default() }));
        let ports = [free_port()?, free_port()?];
        let (mut kills, mut tasks) = (Vec::new(), Vec::new());
        for (number, port) in ports.into_iter().enumerate() {
            let supervisor = Supervisor {
                programs: Arc::clone(programs),
                endpoint: endpoint.clone(),
                locker,
                folder: folder.to_owned(),
                number,
                port,
                seen: Arc::clone(&seen),
            };
            let (kill, killed) = mpsc::channel(1);
            kills.push(kill);
            tasks.push(tokio::spawn(supervisor.run(killed)));
        }
        Ok(Self { seen, kills, tasks, ports })
    }

    /// Waits until one of them is the master; returns which.
    pub(super) async fn master(&self, limit: Duration) -> Result<usize> {
        let start = Instant::now();
        loop {
            self.expect_sound()?;
            if let Some(number) = self.seen().master() {
                return Ok(number);
            }
            if start.elapsed() > limit {
                return fail(format!("no master for {limit:?}: {:?}", self.seen().states));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// kill -9 of the master, or of the other one; when this returns it is gone.
    pub(super) async fn kill(&self, number: usize) -> Result<()> {
        let (start, before) = (Instant::now(), self.seen().ends[number]);
        let sent = self.kills[number].send(()).await;
        sent.map_err(|_| Failure::new(format!("broker {number} has no supervisor")))?;
        while self.seen().ends[number] == before {
            if start.elapsed() > KILL_LIMIT {
                return fail(format!("broker {number} has not ended {KILL_LIMIT:?} after kill -9"));
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// How often another broker, or the same one anew, became the master.
    pub(super) fn takeovers(&self) -> u64 {
        self.seen().takeovers
    }

    pub(super) fn overlaps(&self) -> Vec<Overlap> {
        let seen = self.seen();
        seen.overlaps.iter().copied().chain(seen.overlap_now()).collect()
    }

    /// Brokers that ended by themselves, and when.
    pub(super) fn own_ends(&self) -> Vec<(Instant, String)> {
        self.seen().own_ends.clone()
    }

    fn expect_sound(&self) -> Result<()> {
        self.seen().broken.as_ref().map_or(Ok(()), |why| fail(why.clone()))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Supervisor {
    async fn run(self, mut killed: mpsc::Receiver<()>) {
        for count in 1_u32.. {
            self.enter(State::Waiting);
            let name = format!("{}-{count}", self.name());
            let broker = self.programs.broker_at(&self.endpoint, &name, (self.locker, self.port), &self.folder);
            let by_itself = match broker {
                Ok(mut broker) => self.follow(&mut broker, &mut killed).await,
                Err(error) => {
                    lock(&self.seen).broken = Some(format!("{name}: {error}"));
                    return;
                }
            };
            if by_itself {
                lock(&self.seen).own_ends.push((Instant::now(), name));
            }
            self.enter(State::Away);
            sleep(RESTART_PAUSE).await;
        }
    }

    /// Until the broker has ended; true if it did so by itself.
    async fn follow(&self, broker: &mut JavaProcess, killed: &mut mpsc::Receiver<()>) -> bool {
        loop {
            let line = tokio::select! {
                line = broker.next_line() => line,
                Some(()) = killed.recv() => {
                    // One that has ended already is killed just as well.
                    let _ = broker.kill_9().await;
                    return false;
                }
            };
            match line {
                Ok(Some(line)) if line.starts_with("MASTER") => self.enter(State::Master(Instant::now())),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    let _ = broker.kill_9().await;
                    return true;
                }
            }
        }
    }

    fn enter(&self, state: State) {
        lock(&self.seen).enter(self.number, state);
    }

    fn name(&self) -> &'static str {
        if self.number == 0 { "first" } else { "second" }
    }
}

impl Seen {
    fn master(&self) -> Option<usize> {
        self.states.iter().position(|state| matches!(state, Some(State::Master(_))))
    }

    /// Two masters that are there now.
    fn overlap_now(&self) -> Option<Overlap> {
        match self.states[..] {
            [Some(State::Master(one)), Some(State::Master(other))] => {
                let at = one.max(other);
                Some(Overlap { at, length: at.elapsed() })
            }
            _ => None,
        }
    }

    fn enter(&mut self, number: usize, state: State) {
        if state == State::Away {
            self.ends[number] += 1;
        }
        let other = self.states[1 - number];
        let before = self.states[number].replace(state);
        match (before, state, other) {
            (_, State::Master(_), _) => self.takeovers += 1,
            // The other one has become the master since.
            (Some(State::Master(since)), State::Away, Some(State::Master(other))) => {
                let at = since.max(other);
                self.overlaps.push(Overlap { at, length: at.elapsed() });
            }
            _ => {}
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
