//! What the scenarios of fault points share: a proxy that is started with a plan, a load, the crash that is asserted, and
//! the comparison of what clients were told with what members hold.
//!
//! The points are those that the binary itself lists (`raidb fault-points`): one that no scenario goes to is a failure.

mod load;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::time::sleep;

pub(super) use load::{Load, Told, Work};

use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, ClusterOptions, Member};
use crate::workloads::unique_inserts::Journal;
use crate::{Failure, Options, Result, fail};

/// Longest time until a point is reached.
const REACH_LIMIT: Duration = Duration::from_secs(20);
/// Longest time until all members are enabled behind the last start.
const ENABLED_LIMIT: Duration = Duration::from_secs(30);
/// What a process that aborts ends by.
const SIGABRT: i32 = 6;

/// Everything of a run.
pub(super) struct Bench {
    pub cluster: Cluster,
    /// What clients were told so far.
    told: Told,
    next_client: i32,
    environment: Vec<(String, String)>,
    /// Points that were reached, with what was found behind each.
    rows: Vec<String>,
    /// Length of the proxy's log at its last start.
    log_from: usize,
    /// The crash whose recovery was not checked yet.
    open: Option<Crash>,
}

/// A crash whose recovery is to be checked.
struct Crash {
    what: String,
    /// What the next start must say, for certain.
    start_says: Option<&'static str>,
}

impl Bench {
    /// Three members, the tables, and a proxy that knows all of these points. `environment` is that of every start.
    pub(super) async fn start(
        options: &Options,
        setup: ClusterOptions,
        points: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let cluster = Cluster::start(options, setup).await?;
        let known = points_of(&cluster).await?;
        if let Some(unknown) = points.iter().find(|point| !known.iter().any(|known| known == *point)) {
            return fail(format!("the proxy has no fault point {unknown}"));
        }
        cluster.endpoint().execute(&load::schema()).await?;
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(Self {
            cluster,
            told: Told::default(),
            next_client: 1,
            environment,
            rows: Vec::new(),
            log_from: 0,
            open: None,
        })
    }

    fn arm(&mut self, plan: &str) -> Result<()> {
        let mut environment = self.environment.clone();
        environment.push(("RAIDB_FAULT".to_owned(), plan.to_owned()));
        let proxy = self.cluster.proxy_mut()?;
        proxy.set_environment(environment);
        self.log_from = std::fs::read(proxy.log())?.len();
        Ok(())
    }

    /// Starts the proxy with this plan, as a crash has left everything, or behind an orderly stop.
    pub(super) async fn restart(&mut self, plan: &str) -> Result<()> {
        self.cluster.proxy_mut()?.stop().await?;
        self.arm(plan)?;
        self.cluster.proxy_mut()?.restart().await
    }

    /// Starts the proxy with a plan that ends it before anybody is served.
    pub(super) async fn start_ends_at(&mut self, point: &str, nth: u32) -> Result<()> {
        self.arm(&format!("{point}:{nth}:crash"))?;
        self.cluster.proxy_mut()?.spawn()?;
        self.ends_at(point).await
    }

    /// The process ends by itself, at this point.
    pub(super) async fn ends_at(&mut self, point: &str) -> Result<()> {
        let status = self.cluster.proxy_mut()?.wait_end(REACH_LIMIT).await;
        let log = self.log()?;
        let status = status.map_err(|failure| failure.during(format!("{point} was not reached")))?;
        let said = log.contains(&format!("raidb: fault point {point}: crash"));
        if said && status.signal() == Some(SIGABRT) {
            return Ok(());
        }
        let tail = self.cluster.proxy()?.log_tail(20);
        fail(format!("the proxy ended by {status} and not by a crash at {point}; its log ends with:\n{tail}"))
    }

    /// What the proxy has printed since its last start.
    pub(super) fn log(&self) -> Result<String> {
        let log = std::fs::read(self.cluster.proxy()?.log())?;
        Ok(String::from_utf8_lossy(log.get(self.log_from..).unwrap_or_default()).into_owned())
    }

    /// Clients that work until they have done `limit` transactions, or have lost their connections.
    pub(super) async fn load(&mut self, works: &[Work], limit: i64) -> Result<Load> {
        let first = self.next_client;
        self.next_client += i32::try_from(works.len())?;
        Load::start(&self.cluster.endpoint(), works, first, limit).await
    }

    /// Books what clients were told.
    pub(super) fn book(&mut self, told: Told) {
        self.told.add(told);
    }

    /// A load that ends with the process, at this point.
    pub(super) async fn load_ends_at(&mut self, works: &[Work], point: &str) -> Result<()> {
        let load = self.load(works, i64::MAX >> 34).await?;
        let ended = self.ends_at(point).await;
        let told = load.stop().await;
        // A client's complaint is the cause, if there is one.
        self.book(told?);
        ended
    }

    /// Name of a member.
    pub(super) fn name(&self, index: usize) -> String {
        self.cluster.members[index].name().to_owned()
    }

    /// `raidb member VERB NAME`. It may fail: the proxy may end under it.
    pub(super) async fn member(&self, verb: &str, name: &str) -> Result<()> {
        let proxy = self.cluster.proxy()?;
        let mut command = Command::new(proxy.binary());
        command.args(["member", verb, name, "--admin", proxy.admin()]);
        command.output().await?;
        Ok(())
    }

    /// A crash was provoked: the next start must recover from it.
    pub(super) fn behind(&mut self, what: String) {
        self.open = Some(Crash { what, start_says: None });
    }

    /// The same, of a crash that left a decided transaction which some member lacks: the next start must say that it redoes it.
    pub(super) fn behind_decision(&mut self, what: String) {
        self.open = Some(Crash { what, start_says: Some("decided transactions were redone") });
    }

    /// The same, of a crash that left an intent of which the lead was to decide, and did not: the next start must say that it is
    /// aborted.
    pub(super) fn behind_no_decision(&mut self, what: String) {
        self.open = Some(Crash { what, start_says: Some("does not hold it: aborted") });
    }

    /// Checks the recovery from the last crash.
    pub(super) async fn check_last(&mut self) -> Result<()> {
        match self.open.take() {
            Some(Crash { what, start_says: Some(says) }) if !self.log()?.contains(says) => {
                fail(format!("{what}: the start did not say \"{says}\""))
            }
            Some(crash) => self.check(&crash.what).await,
            None => Ok(()),
        }
    }

    /// All members are enabled again, equal, and hold what clients were told; what was open is settled by that.
    pub(super) async fn check(&mut self, what: &str) -> Result<()> {
        let began = Instant::now();
        let result = self.try_check().await;
        if let Err(failure) = result {
            let tail = self.cluster.proxy()?.log_tail(40);
            return fail(format!("{what}: {failure}\n-- the proxy's log ends with:\n{tail}"));
        }
        let counts = format!("{} inserts, {} transactions", self.told.inserts.acknowledged.len(), {
            self.told.wholes.acknowledged.len()
        });
        let row = format!("| {what} | equal, {counts}, 0 lost |");
        eprintln!("{row} {:.0?}", began.elapsed());
        self.rows.push(row);
        Ok(())
    }

    async fn try_check(&mut self) -> Result<()> {
        self.all_enabled().await?;
        let members: Vec<&Member> = self.cluster.members.iter().collect();
        members_equal(&members, EqualityOptions::default().without_sequences()).await?;
        for member in &members {
            let inserts = keys(member, "unique_inserts").await?;
            compare(member.name(), "insert", &inserts, &self.told.inserts)?;
            let (left, mut right) = (keys(member, "whole_left").await?, keys(member, "whole_right").await?);
            right.extend(keys(member, "keyed_right").await?);
            compare(member.name(), "transaction", &left, &self.told.wholes)?;
            let halves: Vec<_> = left.symmetric_difference(&right).take(5).collect();
            if !halves.is_empty() {
                return fail(format!("{}: transactions by halves: {halves:?}", member.name()));
            }
            expect_counted(member, left.len()).await?;
            load::settle(&mut self.told.inserts, &inserts);
            load::settle(&mut self.told.wholes, &left);
        }
        Ok(())
    }

    /// Waits until all members are enabled.
    pub(super) async fn all_enabled(&self) -> Result<()> {
        let deadline = Instant::now() + ENABLED_LIMIT;
        loop {
            let states = self.cluster.member_states().await?;
            if states.iter().all(|(_, state)| state == "enabled") {
                return Ok(());
            }
            if Instant::now() > deadline {
                let status = self.cluster.proxy()?.status().await?;
                return fail(format!("not all members are enabled behind {ENABLED_LIMIT:?}: {status}"));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The table of the run; returns the number of its rows.
    pub(super) fn report(&self) -> usize {
        println!("| point | behind the recovery |\n|---|---|");
        self.rows.iter().for_each(|row| println!("{row}"));
        self.rows.len()
    }
}

/// Sequences are carried within this time.
const CARRIED_LIMIT: Duration = Duration::from_millis(700);

/// Every point of the binary, or why it has none.
pub(super) async fn points_of(cluster: &Cluster) -> Result<Vec<String>> {
    let binary = cluster.proxy()?.binary();
    let output = Command::new(binary).arg("fault-points").output().await?;
    if !output.status.success() {
        return fail(format!(
            "{} has no fault points: cargo build -p raidb --features raidb/fault-points",
            binary.display()
        ));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

async fn keys(member: &Member, table: &str) -> Result<BTreeSet<i64>> {
    let rows = member.endpoint().rows(&format!("select key from {table}")).await?;
    rows.into_iter().flatten().flatten().map(|key| key.parse().map_err(Failure::from)).collect()
}

fn compare(member: &str, what: &str, found: &BTreeSet<i64>, told: &Journal) -> Result<()> {
    let lost: Vec<_> = told.acknowledged.difference(found).take(5).collect();
    let undead: Vec<_> = told.refused.intersection(found).take(5).collect();
    let known =
        |key: &&i64| told.acknowledged.contains(key) || told.unknown.contains(key) || told.refused.contains(key);
    let made_up: Vec<_> = found.iter().filter(|key| !known(key)).take(5).collect();
    if lost.is_empty() && undead.is_empty() && made_up.is_empty() {
        return Ok(());
    }
    fail(format!(
        "{member}: keys of kind {what}: acknowledged and lost {lost:?}, told aborted and there {undead:?}, made up \
         {made_up:?}"
    ))
}

/// The counters say how many transactions there were: each is in one counter of its own, and in the shared one if it is no
/// serializable one; and no sequence is behind its table.
async fn expect_counted(member: &Member, transactions: usize) -> Result<()> {
    let sql = "select (select sum(n) from whole_counter where slot > 0) || ' ' || \
               (select case when last_value + is_called::int > m then 'ahead' else 'at ' || last_value || ', largest id ' || m || ', behind' end \
                from whole_right_id_seq, (select coalesce(max(id), 0) m from whole_right) r)";
    let expected = format!("{transactions} ahead");
    let until = Instant::now() + CARRIED_LIMIT;
    loop {
        let found = member.endpoint().value(sql).await?;
        if found == expected {
            return Ok(());
        }
        // Sequences are carried to the members a moment behind; what is counted is there at once.
        if !found.ends_with("behind") || Instant::now() >= until {
            return fail(format!("{}: counted {found}, expected {expected}", member.name()));
        }
        sleep(Duration::from_millis(20)).await;
    }
}
