//! A corpus of SQL, and generated statements, on one bare PostgreSQL and through the proxy: what a client sees is the
//! same, byte for byte, and afterwards members hold the same, and the same as the bare server.
//!
//! The proxy goes first: what it refuses (0A000) is not run on the bare server either, so both stay in one state. The
//! reason must be in `corpus/refused.txt`. With `--bare`, both sides are bare servers: the corpus itself is checked.
//! `--only A,B` runs the topics whose names contain one of these; `--transactions N` makes 20 × N generated statements; with
//! `--only wide` they are also about what users make around tables. With `--only alternate` each topic is run in one protocol, in turns.

mod answer;
mod client;
mod corpus;
mod environment;
mod generator;
pub(super) mod oracles;
mod outcome;
mod pair;
mod pass;
mod refusals;
mod report;

use corpus::{Protocol, Topic};
use environment::Environment;
use generator::Mix;
use outcome::MemberDifference;
use pass::Watch;
use refusals::Refusals;
use report::Report;

use crate::{Options, Result, Summary, fail};

/// In `--only`: every topic in one protocol and not in both. The short form of `make test`.
const ALTERNATE: &str = "alternate";

/// Generated statements, for each of `--transactions`.
const GENERATED_PER_TRANSACTION: usize = 20;

pub(super) async fn run(options: Options) -> Result<Summary> {
    let mut topics = corpus::read()?;
    let written: usize = topics.iter().map(|topic| topic.statements().count()).sum();
    let wide = options.only.as_ref().is_some_and(|only| only.contains("wide"));
    let mix = if wide { Mix::Wide } else { Mix::Plain };
    let generated = generator::topics(options.seed, options.transactions * GENERATED_PER_TRANSACTION, mix);
    topics.extend(generated);
    let only: Vec<&str> = options.only.iter().flat_map(|only| only.split(',')).collect();
    let alternate = only.contains(&ALTERNATE);
    let names: Vec<&str> = only.into_iter().filter(|part| *part != ALTERNATE).collect();
    if !names.is_empty() {
        topics.retain(|topic| names.iter().any(|part| topic.name.contains(part)));
    }
    let mut report = Report::new(Refusals::read()?);
    let mut environment = None;
    for (number, topic) in topics.iter().enumerate() {
        let turn = (number + usize::try_from(options.seed)?) % Protocol::ALL.len();
        let protocols = Protocol::ALL.into_iter().enumerate().filter(|(index, _)| !alternate || *index == turn);
        for (_, protocol) in protocols {
            environment = one(&options, environment, topic, protocol, &mut report).await?;
        }
    }
    conclude(&options, &report, written)
}

/// Runs one topic in one protocol; returns the environment if it can be used again.
async fn one(
    options: &Options,
    environment: Option<Environment>,
    topic: &Topic,
    protocol: Protocol,
    report: &mut Report,
) -> Result<Option<Environment>> {
    let environment = match environment {
        Some(environment) => environment,
        None => Environment::start(options).await?,
    };
    let passed = match pass::run(&environment, topic, protocol, Watch::End).await {
        Ok(passed) => passed,
        Err(failure) => {
            // A schema that cannot be made or dropped is a finding like another; what was found before stays.
            report.add_member_difference(MemberDifference::without_culprit(topic, protocol, failure.to_string()));
            return Ok(None);
        }
    };
    report.add(passed.compared, passed.not_run);
    if let Some(mut difference) = passed.members {
        drop(environment);
        // What was found must not be lost because it cannot be found once more.
        difference.culprit = match culprit(options, topic, protocol).await {
            Ok(culprit) => culprit,
            Err(failure) => Some(format!("(not looked for: {failure})")),
        };
        report.add_member_difference(difference);
        return Ok(None);
    }
    Ok((!passed.spoilt).then_some(environment))
}

/// Runs a topic behind which members differ once more, with a comparison behind each statement.
async fn culprit(options: &Options, topic: &Topic, protocol: Protocol) -> Result<Option<String>> {
    let environment = Environment::start(options).await?;
    let again = pass::run(&environment, topic, protocol, Watch::EveryStatement).await?;
    Ok(again.members.and_then(|difference| difference.culprit))
}

fn conclude(options: &Options, report: &Report, written: usize) -> Result<Summary> {
    let counts = report.counts();
    let summary = Summary::default()
        .with("written", written)
        .with("run", counts.statements)
        .with("identical", counts.identical)
        .with("errors", counts.errors)
        .with("refused", counts.refused)
        .with("different", counts.different)
        .with("known", counts.known)
        .with("mended", counts.mended)
        .with("not_run", report.not_run())
        .with("member_differences", report.member_differences());
    println!("{}\n{}", report.table(), report.reasons());
    if let Some(file) = &options.report {
        report.write(file, &format!("seed {}, {summary}", options.seed))?;
    }
    if report.passed() { Ok(summary) } else { fail(format!("{summary}\n{}", report.findings())) }
}
