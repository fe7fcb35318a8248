//! Signals to processes that this run started, always by process id.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{Failure, Result, fail};

/// Sends `name` (`"KILL"`, `"STOP"`, …) to each of `pids` by one call, so that they get it as close together as possible.
///
/// # Errors
/// `kill` cannot be run. A process that has already gone is not an error.
pub fn signal(name: &str, pids: &[u32]) -> Result<()> {
    if pids.is_empty() {
        return Ok(());
    }
    let pids = pids.iter().map(u32::to_string);
    Command::new("/bin/kill").arg(format!("-{name}")).args(pids).output()?;
    Ok(())
}

/// True while `pid` runs; a zombie does not.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    read_stat(pid).is_some_and(|stat| stat.state != 'Z')
}

/// State letter of `/proc/PID/stat` (`T` = stopped), if the process exists.
#[must_use]
pub(crate) fn state(pid: u32) -> Option<char> {
    read_stat(pid).map(|stat| stat.state)
}

/// `pid` and everything below it, parents first.
#[must_use]
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(stat) = read_stat(id) {
            children.entry(stat.parent).or_default().push(id);
        }
    }
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(parent) = all.get(next).copied() {
        all.extend(children.remove(&parent).unwrap_or_default());
        next += 1;
    }
    all
}

/// Kills `pid` and all its descendants with SIGKILL. The parent is stopped first, so that it starts nothing meanwhile.
///
/// # Errors
/// One of them still runs after five seconds.
pub fn kill_now(pid: u32) -> Result<()> {
    signal("STOP", &[pid])?;
    let all = descendants(pid);
    signal("KILL", &all)?;
    wait_gone(&all)
}

/// Waits until none of `pids` runs.
///
/// # Errors
/// One of them still runs after five seconds.
pub(crate) fn wait_gone(pids: &[u32]) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while let Some(pid) = pids.iter().find(|pid| is_alive(**pid)) {
        if Instant::now() > deadline {
            return fail(format!("process {pid} is still there 5 s after SIGKILL"));
        }
        sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Peak resident memory of `pid` in bytes (`VmHWM`).
///
/// # Errors
/// No such process.
pub(crate) fn peak_memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| Failure::new(format!("no VmHWM for process {pid}")))
}

struct Stat {
    state: char,
    parent: u32,
}

fn read_stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name is in parentheses and may hold anything, spaces and parentheses included.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_whitespace();
    Some(Stat { state: fields.next()?.chars().next()?, parent: fields.next()?.parse().ok()? })
}
