//! The workload of the write path's executable model (`lead_first.py`), grown: few keys, many clients, every way in
//! which statements of concurrent transactions can meet. Deterministic per client from one seed.

mod client;
mod operations;

use futures::future::try_join_all;

use crate::Result;
use crate::sql::Endpoint;
use crate::workloads::Outcomes;

/// Which statements are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// The sixteen of the original model: keyed, and one set statement.
    Keyed,
    /// These and everything else: more tables, self references, sets of rows, deferred constraints, volatile values.
    Grown,
}

/// One run of the model's load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The one source of chance; each client derives its own.
    pub seed: u64,
    /// Concurrent clients.
    pub clients: usize,
    /// Transactions per client.
    pub transactions: usize,
    /// Which statements are drawn.
    pub mix: Mix,
}

/// Tables of the model; to be made before the load.
pub const SCHEMA: &str = "\
create table parent(id int primary key, v bigint not null);
create table child(id int primary key, pid int references parent on delete cascade, w int not null, u int unique);
create table tree(id int primary key, up int references tree on delete cascade, w int not null);
create table ledger(id int primary key, pid int references parent deferrable initially deferred, amount int not null);
create table pair(a int, b int, n bigint not null, primary key (a, b));
create table journal(id bigserial primary key, client int not null, at timestamptz not null default now(),
  r double precision not null default random(), note text);
create sequence ticket;";

/// Runs the load to its end.
///
/// # Errors
/// A client was told something that it would not expect of a single database.
pub async fn run(endpoint: &Endpoint, load: Load) -> Result<Outcomes> {
    let clients = (0..load.clients).map(|number| client::run(endpoint, load, number));
    Ok(Outcomes::sum(try_join_all(clients).await?))
}
