//! One session on both sides: through the proxy and on the bare server, kept in the same state.

use super::answer::Answer;
use super::client::Client;
use super::corpus::{KnownBug, Protocol, Statement};
use super::environment::Environment;
use super::outcome::Outcome;
use crate::Result;

/// An error that nobody asked for, to bring a transaction into the failed state.
const FAIL: &str = "select 1/0";
const ROLLBACK: &str = "rollback";

/// The two connections of one session.
#[derive(Debug)]
pub(super) struct Pair {
    proxied: Client,
    bare: Client,
    /// Notifications that came, through the proxy and on the bare server.
    notified: (Vec<String>, Vec<String>),
    /// In a transaction.
    pub(super) open: bool,
    /// Both connections live.
    pub(super) alive: bool,
}

impl Pair {
    pub(super) async fn open(environment: &Environment, schema: &str) -> Result<Self> {
        let proxied = Client::connect(&environment.proxied(), schema).await?;
        let bare = Client::connect(&environment.bare(), schema).await?;
        Ok(Self { proxied, bare, notified: (Vec::new(), Vec::new()), open: false, alive: true })
    }

    /// Runs a statement through the proxy, then on the bare server, unless the proxy refused it.
    pub(super) async fn run(&mut self, statement: &Statement, protocol: Protocol) -> Outcome {
        let mut proxied = self.proxied.run(statement, protocol).await;
        self.notified.0.append(&mut proxied.notifications);
        if let Some(reason) = proxied.refused.clone() {
            self.align(proxied.status).await;
            return Outcome::Refused(reason);
        }
        let mut bare = self.bare.run(statement, protocol).await;
        self.notified.1.append(&mut bare.notifications);
        self.alive = proxied.status.is_some() && bare.status.is_some();
        self.open = proxied.status != Some(b'I') || bare.status != Some(b'I');
        let identical = proxied.lines == bare.lines;
        if self.alive && proxied.status != bare.status {
            self.roll_back_both().await;
        }
        match (&statement.known, identical) {
            (Some(KnownBug::Differs(why)), false) => Outcome::Known(why.clone()),
            (Some(KnownBug::Differs(why)), true) => Outcome::Mended(why.clone()),
            (_, true) => Outcome::Identical { error: proxied.failed() },
            (_, false) => Outcome::Different { proxied, bare },
        }
    }

    /// Brings the bare server to where a refusal left the proxy's session.
    async fn align(&mut self, proxied: Option<u8>) {
        let Some(proxied) = proxied else {
            self.alive = false;
            return;
        };
        let mut answer = self.bare.unasked().await;
        self.notified.1.append(&mut answer.notifications);
        let bare = answer.status;
        if bare == Some(proxied) {
            return;
        }
        match (proxied, bare) {
            (b'E', Some(b'T')) => drop(self.bare.say(FAIL).await),
            _ => self.roll_back_both().await,
        }
    }

    async fn roll_back_both(&mut self) {
        self.alive &= self.proxied.say(ROLLBACK).await.status.is_some();
        self.alive &= self.bare.say(ROLLBACK).await.status.is_some();
        self.open = false;
    }

    /// Fetches late notifications, ends the session, and returns what both sides were notified of, if that differs.
    pub(super) async fn close(mut self) -> Option<(Answer, Answer)> {
        if self.alive {
            self.notified.0.append(&mut self.proxied.unasked().await.notifications);
            self.notified.1.append(&mut self.bare.unasked().await.notifications);
        }
        self.proxied.close().await;
        self.bare.close().await;
        let (proxied, bare) = self.notified;
        let answer = |lines| Answer { lines, ..Answer::default() };
        (proxied != bare).then(|| (answer(proxied), answer(bare)))
    }
}
