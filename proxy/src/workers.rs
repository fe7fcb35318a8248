//! The threads that sessions live on. Each is one event loop; a session stays on the one that it began on.
//!
//! A session's statement wakes its task some eight times (client, lead, followers). On a runtime that shares its tasks among
//! threads each of these may wake another thread to look for work, which costs more than the work. Here nothing is
//! shared: what a thread's sockets bring is handled by that thread, in one round for all of them.
//!
//! Who calls it: the listener. It knows nothing of sessions.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// See the module. Dropped, it ends the threads, and with them all that runs there.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<Worker>,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Worker {
    handle: Handle,
    /// `None` only while it is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The operating system's.
    pub fn start(count: usize) -> io::Result<Self> {
        let threads = (0..count.max(1)).map(Worker::start).collect::<io::Result<Vec<_>>>()?;
        Ok(Workers { threads, next: AtomicUsize::new(0) })
    }

    /// The thread for the next connection: they take turns. `None` only if there is none.
    #[must_use]
    pub fn next(&self) -> Option<&Handle> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len().max(1);
        self.threads.get(turn).map(|worker| &worker.handle)
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name(format!("raidb-{number}")).spawn(move || {
            // An error means that the sender is gone: the same.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Worker { handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A thread cannot wait for its own end: the last session of all may be the last that holds this.
        let waits = |thread: &JoinHandle<()>| thread.thread().id() != thread::current().id();
        if let Some(thread) = self.thread.take().filter(waits) {
            // A panic there has been reported by its task.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_task_may_be_the_last_that_holds_them() {
        let workers = Arc::new(Workers::start(1).unwrap());
        let (go, gone) = (oneshot::channel::<()>(), mpsc::channel::<bool>());
        let handle = workers.next().unwrap().clone();
        let kept = workers.clone();
        handle.spawn(async move {
            let _ = go.1.await;
            let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(kept)));
            let _ = gone.0.send(dropped.is_ok());
        });
        drop(workers);
        go.0.send(()).unwrap();
        assert!(gone.1.recv_timeout(Duration::from_secs(5)).unwrap());
    }
}
