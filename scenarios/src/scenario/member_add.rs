//! Members are added to a running virtual database under TPC-B load, without a client error. A build that is killed half-way leaves
//! a disabled member behind, over a restart of the proxy, and `raidb member rebuild` makes it whole. A member that only the
//! configuration names is not taken for one that holds anything.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::ending;
use crate::cluster::{Cluster, ClusterOptions, Member, MemberOptions};
use crate::workloads::pgbench::{self, Load, Protocol, Report};
use crate::{Options, Result, Summary, fail};

/// Branches: enough rows for a build that takes a moment.
const SCALE: u32 = 4;
/// How long a state may take to show.
const LIMIT: Duration = Duration::from_secs(30);
/// Load before a member is added.
const BEFORE: Duration = Duration::from_secs(1);
/// A comment that has to survive.
const COMMENT: &str = "# two at first";

pub(super) async fn run(options: Options) -> Result<Summary> {
    let virtual_database = vec![COMMENT.to_owned()];
    let setup = ClusterOptions { members: 2, virtual_database, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options, setup).await?;
    pgbench::initialize(&cluster.endpoint(), SCALE).await?;

    // Under load, to its end.
    let load = start_load(&cluster, &options);
    sleep(BEFORE).await;
    let begin = Instant::now();
    add_member(&mut cluster, "pg3").await?;
    let took = begin.elapsed();
    let report = finish(load).await?;
    ending(&cluster).await?;
    expect_states(&cluster, &["enabled", "enabled", "enabled"]).await?;
    refused_again(&cluster).await?;
    cluster.proxy_mut()?.stop().await?;
    cluster.proxy_mut()?.restart().await?;
    expect_states(&cluster, &["enabled", "enabled", "enabled"]).await?;

    // The proxy dies in the middle.
    killed_in_the_middle(&mut cluster, &options).await?;

    // Somebody has written into the file by hand.
    let member = new_member(&mut cluster, "pg5").await?;
    foreign_is_refused(&cluster, &member).await?;
    cluster.proxy_mut()?.stop().await?;
    let entry = format!("[[virtual_database.member]]\nname = \"pg5\"\nurl = \"{member}\"\n");
    fs::OpenOptions::new().append(true).open(cluster.proxy()?.config())?.write_all(entry.as_bytes())?;
    cluster.proxy_mut()?.restart().await?;
    expect_states(&cluster, &["enabled", "enabled", "enabled", "enabled", "disabled"]).await?;
    foreign_is_not_rebuilt(&cluster).await?;
    rebuild(&cluster, "pg5").await?;
    cluster.endpoint().execute("insert into pgbench_history values (0, 0, 0, 0, '2000-01-01')").await?;
    let rows = ending(&cluster).await?;

    // And has taken a member out of it again: it is ignored, and forgotten.
    expect_forgotten(&mut cluster, &entry).await?;
    if !fs::read_to_string(cluster.proxy()?.config())?.contains(COMMENT) {
        return fail("a comment is gone from the configuration");
    }
    Ok(Summary::default()
        .with("acknowledged", report.acknowledged)
        .with("tps", format!("{:.0}", report.tps))
        .with("longest_pause_ms", report.longest_pause.as_millis())
        .with("added_ms", took.as_millis())
        .with("rows", rows))
}

/// Adds the fourth, and kills the proxy while that is built.
async fn killed_in_the_middle(cluster: &mut Cluster, options: &Options) -> Result<()> {
    let url = new_member(cluster, "pg4").await?;
    let config = cluster.proxy()?.config();
    let config = config.to_string_lossy();
    let adding = cluster.proxy()?.spawn_member(&["add", "pg4", "--url", &url, "--config", &config])?;
    cluster.wait_for_state("pg4", "rebuilding", LIMIT).await?;
    cluster.proxy_mut()?.kill_9()?;
    if adding.wait_with_output().await?.status.success() {
        return fail("the member was built before the proxy was killed");
    }
    cluster.proxy_mut()?.restart().await?;
    // It is not tried by itself, either.
    sleep(Duration::from_secs(2)).await;
    expect_states(cluster, &["enabled", "enabled", "enabled", "disabled"]).await?;
    let load = start_load(cluster, options);
    sleep(BEFORE).await;
    rebuild(cluster, "pg4").await?;
    finish(load).await?;
    ending(cluster).await?;
    Ok(())
}

/// What does not fit is refused with 64, and the file stays as it is.
async fn refused_again(cluster: &Cluster) -> Result<()> {
    let proxy = cluster.proxy()?;
    let (config, url) = (proxy.config(), cluster.members[2].endpoint().url());
    let before = fs::read_to_string(&config)?;
    for (name, url, code) in [
        ("pg3", url.as_str(), 1),
        ("pg3", "postgresql://postgres@127.0.0.1:1/bench", 64),
        ("pg9", url.as_str(), 64),
        ("PG 9", "postgresql://postgres@127.0.0.1:1/bench", 64),
    ] {
        let (found, printed) =
            proxy.member(&["add", name, "--url", url, "--config", &config.to_string_lossy()]).await?;
        if found != Some(code) || fs::read_to_string(&config)? != before {
            return fail(format!("raidb member add {name} {url}: {found:?}, {printed}"));
        }
    }
    Ok(())
}

/// A database that holds something is not taken, and the file is as it was.
async fn foreign_is_refused(cluster: &Cluster, url: &str) -> Result<()> {
    cluster.members[4].endpoint().execute("create table somebodys(a int)").await?;
    let proxy = cluster.proxy()?;
    let config = proxy.config();
    let before = fs::read_to_string(&config)?;
    let (code, printed) = proxy.member(&["add", "pg5", "--url", url, "--config", &config.to_string_lossy()]).await?;
    let told = printed.contains("holds tables") && printed.contains("is as it was before");
    if code != Some(1) || !told || fs::read_to_string(&config)? != before {
        return fail(format!("raidb member add of a foreign database: {code:?}, {printed}"));
    }
    Ok(())
}

/// Nor is it dropped by a rebuild of a member that only the file names.
async fn foreign_is_not_rebuilt(cluster: &Cluster) -> Result<()> {
    let (code, printed) = cluster.proxy()?.member(&["rebuild", "pg5"]).await?;
    if code != Some(1) || !printed.contains("holds tables") {
        return fail(format!("raidb member rebuild of a foreign database: {code:?}, {printed}"));
    }
    cluster.members[4].endpoint().execute("drop table somebodys").await?;
    // What is asked for is so already.
    for (verb, name, wanted) in
        [("disable", "pg5", "is disabled already (new)"), ("enable", "pg1", "is enabled already")]
    {
        let (code, printed) = cluster.proxy()?.member(&[verb, name]).await?;
        if code != Some(0) || !printed.contains(wanted) {
            return fail(format!("raidb member {verb} {name}: {code:?}, {printed}"));
        }
    }
    Ok(())
}

async fn expect_forgotten(cluster: &mut Cluster, entry: &str) -> Result<()> {
    let config = cluster.proxy()?.config();
    let with = fs::read_to_string(&config)?;
    for (text, states) in [
        (with.replace(entry, ""), &["enabled"; 4][..]),
        (with, &["enabled", "enabled", "enabled", "enabled", "disabled"]),
    ] {
        cluster.proxy_mut()?.stop().await?;
        fs::write(&config, text)?;
        cluster.proxy_mut()?.restart().await?;
        cluster.endpoint().execute("insert into pgbench_history values (1, 1, 1, 1, '2000-01-01')").await?;
        sleep(Duration::from_secs(1)).await;
        expect_states(cluster, states).await?;
    }
    Ok(())
}

/// Starts a server and returns its URL.
async fn new_member(cluster: &mut Cluster, name: &str) -> Result<String> {
    let member = Member::start(cluster.home(), MemberOptions::new(name, "bench")).await?;
    let url = member.endpoint().url();
    cluster.members.push(member);
    Ok(url)
}

async fn add_member(cluster: &mut Cluster, name: &str) -> Result<()> {
    let url = new_member(cluster, name).await?;
    let proxy = cluster.proxy()?;
    let (code, printed) =
        proxy.member(&["add", name, "--url", &url, "--config", &proxy.config().to_string_lossy()]).await?;
    if code != Some(0) {
        return fail(format!("raidb member add {name}: {code:?}, {printed}\n{}", proxy.log_tail(20)));
    }
    Ok(())
}

async fn rebuild(cluster: &Cluster, name: &str) -> Result<()> {
    let (code, printed) = cluster.proxy()?.member(&["rebuild", name]).await?;
    if code != Some(0) {
        return fail(format!("raidb member rebuild {name}: {code:?}, {printed}\n{}", cluster.proxy()?.log_tail(20)));
    }
    Ok(())
}

fn start_load(cluster: &Cluster, options: &Options) -> JoinHandle<Result<Report>> {
    let (endpoint, folder) = (cluster.endpoint(), cluster.home().to_owned());
    let load = Load {
        protocol: Protocol::Prepared,
        clients: options.clients,
        seconds: options.seconds,
        seed: options.seed,
        more: Vec::new(),
    };
    tokio::spawn(async move { pgbench::run(&endpoint, &load, &folder).await })
}

async fn finish(load: JoinHandle<Result<Report>>) -> Result<Report> {
    let report = load.await??;
    if report.failed > 0 || report.acknowledged == 0 {
        return fail(format!("a client noticed: {report:?}"));
    }
    Ok(report)
}

async fn expect_states(cluster: &Cluster, expected: &[&str]) -> Result<()> {
    let states = cluster.member_states().await?;
    if states.iter().map(|(_, state)| state.as_str()).eq(expected.iter().copied()) {
        return Ok(());
    }
    fail(format!("{expected:?} are expected: {}", cluster.proxy()?.status().await?))
}
