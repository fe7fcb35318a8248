//! What runs in which order: every round visits every target, so that a slow hour of the machine hits all.

use crate::interrupt::Interrupt;
use crate::load::Load;
use crate::members::Members;
use crate::options::Options;
use crate::pgbench::{Pgbench, Running};
use crate::sample::{Cell, Measured, Outcome, Sample, mean};
use crate::targets::{Name, Place, Started, Target};
use crate::{programs, report};
use scenarios::{Failure, Result};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Runs the whole benchmark and writes its record.
///
/// # Errors
/// A sentence for a person: a program is missing, a server did not start, the record cannot be written. A load
/// that fails is no error; it is in the record.
pub async fn run(options: &Options) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let busy = programs::first_line("cut", &["-d ", "-f1", "/proc/loadavg"]);
    let raidb = raidb_program(options)?;
    let (targets, loads) = selection(&options.only)?;
    let targets = available(targets, &raidb, !options.only.is_empty())?;
    let bench = Bench::prepare(options, interrupt).await?;

    let mut samples = Vec::new();
    for run in 1..=options.runs {
        for &name in &targets {
            eprintln!("run {run}: {}", name.as_str());
            let target = name.target(&raidb);
            for (cell, outcome) in bench.visit(name, target.as_ref(), &loads, &options.clients).await? {
                samples.push(Sample { cell, run, outcome });
            }
        }
    }
    let mut notes = vec![("load before", busy)];
    notes.extend(targets.iter().filter_map(|name| Some((name.as_str(), name.target(&raidb).version()?))));
    report::write(options, &bench.bin, notes, &samples)
}

/// The started members and what is needed to load them. Dropped, everything is stopped and removed.
struct Bench {
    bin: PathBuf,
    members: Members,
    pgbench: Pgbench,
    interrupt: Interrupt,
    dir: TempDir,
}

impl Bench {
    async fn prepare(options: &Options, interrupt: Interrupt) -> Result<Self> {
        let bin = programs::postgres_bin()?;
        let program = bin.join("pgbench");
        // Members run as another user where the caller is root.
        let dir = tempfile::Builder::new()
            .prefix("raidb-bench-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(&options.work_dir)?;
        let members = Members::start(dir.path(), &program, options.scale).await?;
        interrupt.check()?;
        let pgbench = Pgbench { program, seconds: options.seconds, dir: dir.path().into() };
        Ok(Self { bin, members, pgbench, interrupt, dir })
    }

    /// Every load on one target, from fresh data.
    async fn visit(
        &self,
        name: Name,
        target: &dyn Target,
        loads: &[Load],
        clients: &[u32],
    ) -> Result<Vec<(Cell, Outcome)>> {
        self.members.recreate().await?;
        let started = target.start(&self.place(name)?)?;
        let mut outcomes = Vec::new();
        for &load in loads {
            for &clients in clients {
                let cell = Cell { load, clients, target: name };
                let outcome = self.measure(&started, load, clients).await.map_err(|error| error.to_string());
                self.interrupt.check()?;
                announce(&cell, &outcome);
                outcomes.push((cell, outcome));
            }
        }
        drop(started);
        if target.replicates() {
            self.members.check_equality().await.map_err(|error| error.during(name.as_str()))?;
        }
        Ok(outcomes)
    }

    fn place(&self, name: Name) -> Result<Place> {
        let dir = self.dir.path().join(name.as_str());
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir(&dir)?;
        std::fs::set_permissions(&dir, Permissions::from_mode(0o1777))?;
        Ok(Place { dir, members: self.members.places() })
    }

    async fn measure(&self, started: &Started, load: Load, clients: u32) -> Result<Measured> {
        self.members.settle().await?;
        let mut running = Vec::new();
        for &port in &started.ports {
            running.push(self.pgbench.start(load, clients, port)?);
        }
        let measured: Result<Vec<_>> = running.into_iter().map(Running::finish).collect();
        match (measured, &started.server) {
            (Ok(parts), _) => Ok(mean(&parts)),
            (Err(error), Some(server)) => Err(Failure::new(format!("{error}\n{}", server.log_tail()))),
            (Err(error), None) => Err(error),
        }
    }
}

fn announce(cell: &Cell, outcome: &Outcome) {
    let head = format!("  {:<16}{:>2} clients", cell.load.name(), cell.clients);
    match outcome {
        Ok(measured) => eprintln!("{head} {:>9.0} tps", measured.tps),
        Err(error) => eprintln!("{head} FAILED: {error}"),
    }
}

/// The binary that was named, or the one beside this program.
fn raidb_program(options: &Options) -> Result<PathBuf> {
    if let Some(named) = &options.raidb {
        return Ok(std::path::absolute(named)?);
    }
    let own = std::env::current_exe()?;
    Ok(own.with_file_name("raidb"))
}

/// Which targets and loads `--only` leaves: a kind of which nothing is named stays whole.
fn selection(only: &[String]) -> Result<(Vec<Name>, Vec<Load>)> {
    let targets: Vec<_> = Name::ALL.into_iter().filter(|name| only.iter().any(|o| o == name.as_str())).collect();
    let loads: Vec<_> = Load::ALL.into_iter().filter(|load| only.iter().any(|o| o == load.name())).collect();
    if targets.len() + loads.len() != only.len() {
        let known: Vec<_> = Name::ALL.map(Name::as_str).into_iter().chain(Load::ALL.map(Load::name)).collect();
        return Err(Failure::new(format!("--only knows: {}", known.join(", "))));
    }
    Ok((
        if targets.is_empty() { Name::ALL.to_vec() } else { targets },
        if loads.is_empty() { Load::ALL.to_vec() } else { loads },
    ))
}

/// Leaves out what is not installed, and says so; what was asked for by name has to be there.
fn available(targets: Vec<Name>, raidb: &Path, named: bool) -> Result<Vec<Name>> {
    let mut found = Vec::new();
    for name in targets {
        match name.target(raidb).missing() {
            None => found.push(name),
            Some(reason) if named => {
                return Err(Failure::new(format!("{}: {reason}", name.as_str())));
            }
            Some(reason) => eprintln!("{} is left out: {reason}", name.as_str()),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn only_restricts_each_kind_by_itself() {
        let (targets, loads) = selection(&names(&["pgpool", "insert"])).expect("known names");
        assert_eq!((targets, loads), (vec![Name::Pgpool], vec![Load::Insert]));
        let (targets, loads) = selection(&names(&["raidb"])).expect("known name");
        assert_eq!((targets, loads), (vec![Name::Raidb], Load::ALL.to_vec()));
    }

    #[test]
    fn only_refuses_unknown_names() {
        assert!(selection(&names(&["tpc-b"])).is_err());
    }
}
