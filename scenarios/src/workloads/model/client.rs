//! One client of the model's workload: how it puts statements into transactions, and what it does on an error.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Statement};

use super::operations::Operation;
use super::{Load, Mix};
use crate::Result;
use crate::sql::Endpoint;
use crate::workloads::Outcomes;

/// Longest transaction, in statements.
const STATEMENTS: usize = 6;
/// Chance of a savepoint before a statement.
const SAVEPOINT: f64 = 0.15;
/// Chance that an error behind a savepoint is undone and the transaction goes on.
const GO_ON: f64 = 0.7;
/// Chance that the client changes its mind at the end.
const CHANGE_OF_MIND: f64 = 0.08;
/// Chance of a rest between two statements, and the longest rest.
const REST: (f64, Duration) = (0.2, Duration::from_millis(3));

struct ModelClient {
    connection: Client,
    statements: HashMap<&'static str, Statement>,
    chance: StdRng,
    number: i32,
    mix: Mix,
    outcomes: Outcomes,
}

/// How the statements of one transaction are put on the wire.
#[derive(Clone, Copy)]
enum Style {
    /// One after the other inside BEGIN and COMMIT: seven of ten.
    Interactive,
    /// One statement without BEGIN.
    Autocommit,
    /// All in one Query message, with BEGIN and COMMIT or as one implicit transaction.
    OneMessage { begin: bool },
    /// All sent before the first answer is there.
    Pipelined,
}

pub(super) async fn run(endpoint: &Endpoint, load: Load, number: usize) -> Result<Outcomes> {
    let seed = load.seed.wrapping_mul(1000).wrapping_add(number as u64);
    let mut client = ModelClient {
        connection: endpoint.connect().await?,
        statements: HashMap::new(),
        chance: StdRng::seed_from_u64(seed),
        number: i32::try_from(number)?,
        mix: load.mix,
        outcomes: Outcomes::default(),
    };
    for _ in 0..load.transactions {
        client.transaction().await?;
    }
    Ok(client.outcomes)
}

impl ModelClient {
    async fn transaction(&mut self) -> Result<()> {
        let style = match self.chance.random_range(0..20) {
            0..14 => Style::Interactive,
            14..17 => Style::Autocommit,
            17 => Style::OneMessage { begin: true },
            18 => Style::OneMessage { begin: false },
            _ => Style::Pipelined,
        };
        let committed = match style {
            Style::Interactive => self.interactive().await?,
            Style::Autocommit => {
                let operation = self.draw();
                self.execute(&operation).await?
            }
            Style::OneMessage { begin } => self.one_message(begin).await?,
            Style::Pipelined => self.pipelined().await?,
        };
        if committed {
            self.outcomes.commits += 1;
        } else {
            self.outcomes.rollbacks += 1;
        }
        Ok(())
    }

    fn draw(&mut self) -> Operation {
        Operation::draw(&mut self.chance, self.mix, self.number)
    }

    /// Statement by statement, with savepoints; an error is undone to the savepoint or ends the transaction.
    async fn interactive(&mut self) -> Result<bool> {
        self.control("begin").await?;
        let mut savepoint = false;
        for _ in 0..self.chance.random_range(1..STATEMENTS) {
            if self.chance.random_bool(SAVEPOINT) {
                self.control("savepoint s").await?;
                savepoint = true;
            }
            let operation = self.draw();
            if !self.execute(&operation).await? {
                if !savepoint || !self.chance.random_bool(GO_ON) {
                    self.control("rollback").await?;
                    return Ok(false);
                }
                self.control("rollback to savepoint s").await?;
            }
            self.rest().await;
        }
        if self.chance.random_bool(CHANGE_OF_MIND) {
            self.control("rollback").await?;
            return Ok(false);
        }
        self.attempt("commit").await
    }

    async fn one_message(&mut self, begin: bool) -> Result<bool> {
        let count = self.chance.random_range(2..STATEMENTS);
        let mut texts: Vec<String> = (0..count).map(|_| self.draw().literal()).collect();
        if begin {
            texts.insert(0, "begin".to_owned());
            texts.push("commit".to_owned());
        }
        let committed = self.attempt(&texts.join("; ")).await?;
        if begin && !committed {
            // After an error in mid-message the transaction block is still open; after one in COMMIT it is not,
            // and this is a warning.
            self.control("rollback").await?;
        }
        Ok(committed)
    }

    async fn pipelined(&mut self) -> Result<bool> {
        let count = self.chance.random_range(2..STATEMENTS);
        let texts: Vec<String> = (0..count).map(|_| self.draw().literal()).collect();
        let mut all = vec!["begin"];
        all.extend(texts.iter().map(String::as_str));
        all.push("commit");
        let answers = join_all(all.iter().map(|text| self.connection.simple_query(text))).await;
        let mut committed = true;
        for (text, answer) in all.iter().zip(answers) {
            if let Err(error) = answer {
                self.outcomes.expected(text, error)?;
                committed = false;
            }
        }
        Ok(committed)
    }

    /// Runs a statement by the simple protocol, as a named or as an unnamed prepared statement. False: expected error.
    async fn execute(&mut self, operation: &Operation) -> Result<bool> {
        let by_parameters = self.chance.random_range(0..3);
        let parameters: Vec<&(dyn ToSql + Sync)> =
            operation.parameters.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let answer = match by_parameters {
            0 => return self.attempt(&operation.literal()).await,
            1 => match self.named(operation).await {
                Ok(statement) => self.connection.query(&statement, &parameters).await,
                Err(error) => Err(error),
            },
            _ => {
                let typed: Vec<_> = parameters.iter().map(|value| (*value, Type::INT4)).collect();
                self.connection.query_typed(operation.sql, &typed).await
            }
        };
        match answer {
            Ok(_) => Ok(true),
            Err(error) => self.outcomes.expected(operation.sql, error).map(|()| false),
        }
    }

    async fn named(&mut self, operation: &Operation) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.statements.get(operation.sql) {
            return Ok(statement.clone());
        }
        let types = vec![Type::INT4; operation.parameters.len()];
        let statement = self.connection.prepare_typed(operation.sql, &types).await?;
        self.statements.insert(operation.sql, statement.clone());
        Ok(statement)
    }

    /// Simple protocol; false: expected error.
    async fn attempt(&mut self, sql: &str) -> Result<bool> {
        match self.connection.simple_query(sql).await {
            Ok(_) => Ok(true),
            Err(error) => self.outcomes.expected(sql, error).map(|()| false),
        }
    }

    /// A statement that has no reason to fail.
    async fn control(&mut self, sql: &str) -> Result<()> {
        self.connection.simple_query(sql).await.map_err(|error| crate::Failure::from(error).during(sql))?;
        Ok(())
    }

    async fn rest(&mut self) {
        if self.chance.random_bool(REST.0) {
            sleep(REST.1.mul_f64(self.chance.random())).await;
        }
    }
}
