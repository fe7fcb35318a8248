//! The statements of the model's workload. All parameters are integers, so that each can go by either protocol.

use rand::RngExt;
use rand::rngs::StdRng;

use super::Mix;

/// Keys are drawn from 0 to this, so that clients meet.
const KEYS: i32 = 12;

/// What a parameter of a statement is drawn from.
#[derive(Clone, Copy, Debug)]
enum Draw {
    /// A key.
    Key,
    /// A value.
    Value,
    /// The client's own number.
    Client,
}

use Draw::{Client as C, Key as K, Value as V};

/// One drawn statement.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// Text with `$1`, `$2`, …
    pub(super) sql: &'static str,
    /// Values of the parameters.
    pub(super) parameters: Vec<i32>,
}

impl Operation {
    pub(super) fn draw(chance: &mut StdRng, mix: Mix, client: i32) -> Self {
        let count = KEYED.len() + if mix == Mix::Grown { GROWN.len() } else { 0 };
        let index = chance.random_range(0..count);
        let (sql, draws) = KEYED.get(index).unwrap_or_else(|| &GROWN[index - KEYED.len()]);
        let parameters = draws.iter().map(|draw| match draw {
            K => chance.random_range(0..KEYS),
            V => chance.random_range(1..100),
            C => client,
        });
        Self { sql, parameters: parameters.collect() }
    }

    /// With the values in the text, for the simple protocol.
    pub(super) fn literal(&self) -> String {
        let mut text = self.sql.to_owned();
        for (index, value) in self.parameters.iter().enumerate() {
            text = text.replace(&format!("${}", index + 1), &value.to_string());
        }
        text
    }
}

/// The original model's.
const KEYED: &[(&str, &[Draw])] = &[
    ("insert into parent values($1,$2)", &[K, V]),
    ("update parent set v=(v+$1)%1000007 where id=$2", &[V, K]),
    ("update parent set v=(v*3+$1)%1000007 where id=$2 and v%2=0", &[V, K]),
    ("delete from parent where id=$1", &[K]),
    ("delete from parent where id=$1 and v%3=0", &[K]),
    ("insert into child values($1,$2,$3,$4)", &[K, K, V, K]),
    ("update child set u=$1,w=w+1 where id=$2", &[K, K]),
    ("update child set id=$1 where id=$2", &[K, K]),
    ("update child set pid=$1 where id=$2", &[K, K]),
    ("insert into parent values($1,$2) on conflict(id) do update set v=(parent.v*2+excluded.v)%1000007", &[K, V]),
    ("insert into parent values($1,$2) on conflict do nothing", &[K, V]),
    ("insert into child values($1,$2,$3,$4) on conflict(u) do update set w=child.w+1", &[K, K, V, K]),
    ("update child set w=w+1 where id in($1,$2,$3) and w%3=0", &[K, K, K]),
    ("delete from child where id=$1", &[K]),
    ("select v from parent where id=$1 for update", &[K]),
    ("delete from child where u=$1", &[K]),
];

/// What it was grown by.
const GROWN: &[(&str, &[Draw])] = &[
    // Self references with cascades.
    ("insert into tree values($1,$2,$3)", &[K, K, V]),
    ("insert into tree values($1,null,$2)", &[K, V]),
    ("update tree set up=$1 where id=$2", &[K, K]),
    ("update tree set w=w+1 where up=$1", &[K]),
    ("delete from tree where id=$1", &[K]),
    // Sets of rows that no key names.
    ("update child set w=w+1 where w%3=0", &[]),
    ("update parent set v=(v+$1)%1000007 where v%2=0", &[V]),
    ("delete from child where id between $1 and $2", &[K, K]),
    ("delete from pair where n<$1", &[V]),
    ("update pair set n=(n*2)%10007 where a=$1", &[K]),
    ("update pair set n=(pair.n+c.w)%10007 from child c where c.id=pair.a and c.pid=$1", &[K]),
    ("delete from pair using parent p where p.id=pair.a and p.v%5=0", &[]),
    ("update parent set v=(select coalesce(sum(w),0) from child where pid=$1) where id=$1", &[K]),
    // Several rows at once, by value and by query, and a key of two columns.
    ("insert into pair values($1,$2,$3),($2,$1,$3)", &[K, K, V]),
    ("insert into pair select id,$1,w from child where w%2=0 on conflict do nothing", &[K]),
    ("insert into pair values($1,$2,$3) on conflict(a,b) do update set n=pair.n+excluded.n", &[K, K, V]),
    ("update pair set n=n+1 where a=$1 and b=$2", &[K, K]),
    ("delete from pair where a=$1 and b=$2", &[K, K]),
    // A constraint that fails at COMMIT.
    ("insert into ledger values($1,$2,$3)", &[K, K, V]),
    ("update ledger set pid=$1 where id=$2", &[K, K]),
    ("delete from ledger where id=$1", &[K]),
    // Values that only the lead can know.
    ("insert into journal(client,note) values($1,'one')", &[C]),
    ("insert into journal(client,note) values($1,'two'),($1,'three')", &[C]),
    ("insert into journal(client,note) values($1,'back') returning id,at,r", &[C]),
    ("insert into journal(client,note) select $1,'each' from parent where v%2=0", &[C]),
    ("update journal set at=now(),r=random() where id=(select max(id) from journal where client=$1)", &[C]),
    ("update journal set at=clock_timestamp() where id=$1", &[K]),
    ("delete from journal where id in (select id from journal order by id limit 2)", &[]),
    (
        "with gone as (delete from pair where a=$1 returning n) insert into journal(client,note) select $2,n from gone",
        &[K, C],
    ),
    ("select nextval('ticket')", &[]),
    // Locks of every strength, and plain reads.
    ("select w from child where pid=$1 for update", &[K]),
    ("select v from parent where id=$1 for share", &[K]),
    ("select v from parent where id=$1 for no key update", &[K]),
    ("select id from parent order by id limit 3 for update skip locked", &[]),
    ("select count(*),sum(v) from parent", &[]),
    ("select p.id,c.w from parent p join child c on c.pid=p.id where p.v%2=0", &[]),
];
