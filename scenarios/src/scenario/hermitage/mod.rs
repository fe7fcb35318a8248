//! The Hermitage cases at each level and by each protocol, on one bare server and through the proxy: each step has the same
//! rows, tag or error, and waits where it waits there, until the same step.

mod cases;
mod play;

use std::time::Duration;

use crate::checkers::isolation::Level;
use crate::cluster::{Cluster, ClusterOptions};
use crate::scenario::ending;
use crate::{Options, Result, Summary, fail};
use cases::{CASES, Case};
use play::{Protocol, Stage, Step};

/// Plans, and with them what predicate locks cover, must not depend on when autovacuum comes.
const SETTINGS: &[&str] = &["autovacuum = off"];
/// No member fails here, and a machine that is busy must not look as if one had.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let levels = Level::chosen(options.only.as_deref())?;
    let setup = || ClusterOptions {
        member_timeout: MEMBER_TIMEOUT,
        member_settings: SETTINGS.iter().map(ToString::to_string).collect(),
        ..ClusterOptions::default()
    };
    let bare = Options { bare: true, ..options.clone() };
    let (control, cluster) = tokio::try_join!(Cluster::start(&bare, setup()), Cluster::start(&options, setup()))?;
    let (one, proxy) = tokio::try_join!(Stage::set(&control), Stage::set(&cluster))?;
    let mut figures = Figures::default();
    let mut differences = Vec::new();
    for level in levels {
        for protocol in [Protocol::Simple, Protocol::Extended] {
            for case in CASES {
                let (wanted, found) =
                    tokio::try_join!(one.play(case, level, protocol), proxy.play(case, level, protocol))?;
                figures.add(&wanted);
                if wanted != found {
                    differences.push(explain(case, level, protocol, (&wanted, &found)));
                }
            }
        }
    }
    if !differences.is_empty() {
        return fail(format!("{} cases differ:\n{}", differences.len(), differences.join("\n")));
    }
    let rows = ending(&cluster).await?;
    Ok(Summary::default()
        .with("cases", figures.cases)
        .with("steps", figures.steps)
        .with("waited", figures.waited)
        .with("errors", figures.errors)
        .with("rows", rows))
}

/// What the bare server did: a run in which nobody waits and nothing fails shows nothing.
#[derive(Debug, Default)]
struct Figures {
    cases: usize,
    steps: usize,
    waited: usize,
    errors: usize,
}

impl Figures {
    fn add(&mut self, steps: &[Step]) {
        self.cases += 1;
        self.steps += steps.len();
        self.waited += steps.iter().filter(|step| step.has_waited()).count();
        self.errors += steps.iter().filter(|step| step.is_error()).count();
    }
}

fn explain(case: &Case, level: Level, protocol: Protocol, (wanted, found): (&[Step], &[Step])) -> String {
    let mut text = format!("{} {} {protocol:?}", case.name, level.sql());
    for (number, (wanted, found)) in (1..).zip(wanted.iter().zip(found)) {
        if wanted == found {
            text.push_str(&format!("\n  {number}. {wanted}"));
        } else {
            text.push_str(&format!("\n  {number}. one PostgreSQL: {wanted}\n     the proxy:      {found}"));
        }
    }
    text
}
