//! A server process that this program started, and only such: it is stopped by its id, in order or at the
//! latest when the value is dropped.

use scenarios::cluster::signal;
use scenarios::{Failure, Result};
use std::fs::File;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may take to listen.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a server may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    child: Child,
    log: PathBuf,
    stop_signal: &'static str,
}

impl Server {
    /// Starts the server and waits until it listens on the port.
    pub(crate) fn start(name: &str, mut command: Command, port: u16, log: &Path) -> Result<Self> {
        let out = File::create(log)?;
        let err = out.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn()?;
        let mut server = Self { name: name.into(), child, log: log.into(), stop_signal: "TERM" };
        server.wait_until_listening(port)?;
        Ok(server)
    }

    /// The signal that asks this server to stop without waiting for its clients.
    pub(crate) fn stopped_by(mut self, signal: &'static str) -> Self {
        self.stop_signal = signal;
        self
    }

    fn wait_until_listening(&mut self, port: u16) -> Result<()> {
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Failure::new(format!("{} ended with {status}:\n{}", self.name, self.log_tail())));
            }
            if started.elapsed() > START_LIMIT {
                return Err(Failure::new(format!("{} does not listen:\n{}", self.name, self.log_tail())));
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// The last lines of what the server wrote.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let asked = signal(self.stop_signal, &[self.child.id()]);
        let started = Instant::now();
        while asked.is_ok() && started.elapsed() < STOP_LIMIT {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            sleep(POLL);
        }
        eprintln!("benches: {} did not stop when asked and is killed", self.name);
        if self.child.kill().is_ok() {
            let _reaped = self.child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
