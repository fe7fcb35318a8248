//! One topic in one protocol: each statement through the proxy, then on the bare server, both answers compared.

use std::collections::BTreeMap;

use super::corpus::{KnownBug, Protocol, Statement, Step, Topic};
use super::environment::Environment;
use super::outcome::{Compared, MemberDifference, Outcome};
use super::pair::Pair;
use crate::Result;

/// When members are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// Behind the topic.
    End,
    /// Behind every statement outside a transaction: slow, and names the statement.
    EveryStatement,
}

/// What became of a topic.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) compared: Vec<Compared>,
    pub(super) members: Option<MemberDifference>,
    /// Statements behind the one that spoilt the environment.
    pub(super) not_run: usize,
    /// A session hangs, or members differ: the environment can be used no more.
    pub(super) spoilt: bool,
}

/// Runs a topic.
///
/// # Errors
/// The environment does not work. That an answer differs is no error.
pub(super) async fn run(environment: &Environment, topic: &Topic, protocol: Protocol, watch: Watch) -> Result<Passed> {
    environment.make_schema(topic).await?;
    let mut pass = Pass { environment, topic, protocol, sessions: BTreeMap::new(), passed: Passed::default() };
    let mut unwatched = Vec::new();
    for (index, step) in topic.steps.iter().enumerate() {
        match step {
            Step::Close(name) => pass.close(name).await,
            Step::Run(statement) if statement.runs_in(protocol) => {
                pass.statement(statement).await?;
                unwatched.push(statement.text.as_str());
                if watch == Watch::EveryStatement && pass.sessions.values().all(|pair| !pair.open) {
                    pass.compare(Some(&unwatched)).await;
                    unwatched.clear();
                }
            }
            Step::Run(_) => {}
        }
        if pass.passed.spoilt {
            let rest = topic.steps[index + 1..].iter().filter_map(Step::statement);
            pass.passed.not_run = rest.filter(|statement| statement.runs_in(protocol)).count();
            return Ok(pass.passed);
        }
    }
    pass.finish().await
}

struct Pass<'a> {
    environment: &'a Environment,
    topic: &'a Topic,
    protocol: Protocol,
    sessions: BTreeMap<String, Pair>,
    passed: Passed,
}

impl Pass<'_> {
    async fn statement(&mut self, statement: &Statement) -> Result<()> {
        if let Some(KnownBug::NotRun(why)) = &statement.known {
            self.note(statement, Outcome::Known(why.clone()));
            return Ok(());
        }
        let mut pair = match self.sessions.remove(&statement.session) {
            Some(pair) => pair,
            None => Pair::open(self.environment, &self.topic.schema()).await?,
        };
        let outcome = pair.run(statement, self.protocol).await;
        // A session that silence ended may still hold locks; one that both sides closed was told to end.
        self.passed.spoilt |= !pair.alive && !matches!(outcome, Outcome::Identical { .. });
        self.note(statement, outcome);
        if pair.alive {
            self.sessions.insert(statement.session.clone(), pair);
        }
        Ok(())
    }

    fn note(&mut self, statement: &Statement, outcome: Outcome) {
        let (topic, protocol) = (self.topic.name.clone(), self.protocol);
        self.passed.compared.push(Compared { topic, protocol, statement: statement.clone(), outcome });
    }

    async fn close(&mut self, name: &str) {
        let Some(pair) = self.sessions.remove(name) else { return };
        if let Some((proxied, bare)) = pair.close().await {
            let statement = Statement::plain(0, format!("notifications of session {name}"));
            self.note(&statement, Outcome::Different { proxied, bare });
        }
    }

    async fn compare(&mut self, behind: Option<&[&str]>) {
        if let Err(failure) = self.environment.equal().await {
            let (topic, protocol, found) = (self.topic.name.clone(), self.protocol, failure.to_string());
            let culprit = behind.map(|statements| statements.join("\n"));
            self.passed.members = Some(MemberDifference { topic, protocol, found, culprit });
            self.passed.spoilt = true;
        }
    }

    async fn finish(mut self) -> Result<Passed> {
        let names: Vec<String> = self.sessions.keys().cloned().collect();
        for name in names {
            self.close(&name).await;
        }
        self.compare(None).await;
        if !self.passed.spoilt {
            self.environment.drop_schema(self.topic).await?;
        }
        Ok(self.passed)
    }
}
