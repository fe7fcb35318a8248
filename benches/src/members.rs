//! The PostgreSQL servers of this benchmark, as every target gets them, and the data that every target starts from.

use std::path::Path;
use std::process::Command;

use futures::future::try_join_all;
use scenarios::checkers::{EqualityOptions, members_equal};
use scenarios::cluster::{Member, MemberOptions};
use scenarios::{Failure, Result};

/// The database of every target.
pub(crate) const DATABASE: &str = "bench";
const TEMPLATE: &str = "bench_template";
const COUNT: usize = 3;

/// As in production: what scenarios make small is made ordinary again. `fsync` is repeated because all hangs on it.
pub(crate) const SETTINGS: [&str; 5] =
    ["fsync=on", "synchronous_commit=on", "shared_buffers='128MB'", "max_connections=200", "max_wal_size='1GB'"];

/// Running members. Dropped, they are killed.
#[derive(Debug)]
pub(crate) struct Members(Vec<Member>);

impl Members {
    /// Starts three servers below `home` and fills the template: pgbench's tables and the table of the insert load.
    pub(crate) async fn start(home: &Path, pgbench: &Path, scale: u32) -> Result<Self> {
        let mut members = Vec::new();
        for number in 1..=COUNT {
            eprintln!("starting member pg{number}");
            let settings = SETTINGS.map(str::to_owned).to_vec();
            let options = MemberOptions { settings, ..MemberOptions::new(&format!("pg{number}"), DATABASE) };
            let member = Member::start(home, options).await?;
            fill_template(&member, pgbench, scale).await?;
            members.push(member);
        }
        Ok(Self(members))
    }

    /// Names and ports.
    pub(crate) fn places(&self) -> Vec<(String, u16)> {
        self.0.iter().map(|member| (member.name().to_owned(), member.port())).collect()
    }

    /// Fresh copies of the template on all members.
    pub(crate) async fn recreate(&self) -> Result<()> {
        self.everywhere("postgres", &format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")).await?;
        self.everywhere("postgres", &format!("CREATE DATABASE {DATABASE} TEMPLATE {TEMPLATE}")).await
    }

    /// The same start for every load: statistics fresh, nothing left to write.
    pub(crate) async fn settle(&self) -> Result<()> {
        self.everywhere(DATABASE, "VACUUM ANALYZE").await?;
        self.everywhere(DATABASE, "CHECKPOINT").await
    }

    /// Fails unless all members hold the same.
    pub(crate) async fn check_equality(&self) -> Result<()> {
        let members: Vec<_> = self.0.iter().collect();
        members_equal(&members, EqualityOptions::default()).await.map(|_rows| ())
    }

    async fn everywhere(&self, database: &str, statement: &str) -> Result<()> {
        let done =
            self.0.iter().map(|member| async move { member.endpoint().database(database).execute(statement).await });
        try_join_all(done).await.map(|_all| ())
    }
}

async fn fill_template(member: &Member, pgbench: &Path, scale: u32) -> Result<()> {
    member.endpoint().database("postgres").execute(&format!("CREATE DATABASE {TEMPLATE}")).await?;
    let template = member.endpoint().database(TEMPLATE);
    let output = Command::new(pgbench).args(["-i", "-q", "-s", &scale.to_string(), &template.url()]).output()?;
    if !output.status.success() {
        return Err(Failure::new(format!("pgbench -i: {}", String::from_utf8_lossy(&output.stderr))));
    }
    template.execute("CREATE TABLE bench_insert (id bigint PRIMARY KEY, v integer, t text)").await
}
