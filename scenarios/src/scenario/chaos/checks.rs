//! What the members hold after a cycle, against what the clients were told. All writers are paused meanwhile.

use std::collections::BTreeSet;

use super::load::{Kind, Load};
use crate::Result;
use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, Member};
use crate::workloads::unique_inserts::Journal;

/// Keys that a failure names.
const KEYS_SHOWN: usize = 5;

/// Balances and numbers that add up, and a sequence that is not behind its table. One row of one column: what is wrong.
const BOOKS: &str = "select concat_ws('; ', \
    case when a - $base_moved <> h or t <> a or b <> a then \
        format('accounts %s, tellers %s, branches %s, history %s + $base_moved', a, t, b, h) end, \
    case when i - $base_sold <> l then format('items sold %s, order lines %s + $base_sold', i, l) end, \
    case when o > 0 then format('%s orders have not the lines that they name', o) end, \
    case when s <= m then format('the sequence gives %s next, and there is an order %s', s, m) end) from \
    (select sum(balance) a from chaos_account) a, (select sum(balance) t from chaos_teller) t, \
    (select sum(balance) b from chaos_branch) b, (select coalesce(sum(delta), 0) h from chaos_history) h, \
    (select sum(sold) i from chaos_item) i, (select count(*) l from chaos_line) l, \
    (select count(*) o from chaos_order left join (select order_id, count(*) n from chaos_line group by order_id) n \
        on order_id = id where lines <> coalesce(n, 0)) o, \
    (select last_value + is_called::int s from chaos_order_id_seq) s, \
    (select coalesce(max(id), 0) m from chaos_order) m";

/// What the balances were when history and order lines were emptied.
#[derive(Clone, Debug)]
pub(super) struct Base {
    moved: String,
    sold: String,
}

impl Default for Base {
    fn default() -> Self {
        Self { moved: "0".to_owned(), sold: "0".to_owned() }
    }
}

impl Base {
    /// As they are now.
    pub(super) async fn read(member: &Member) -> Result<Self> {
        let endpoint = member.endpoint();
        Ok(Self {
            moved: endpoint.value("select sum(balance)::text from chaos_account").await?,
            sold: endpoint.value("select sum(sold)::text from chaos_item").await?,
        })
    }
}

/// What was found; all zero and no text if all is well.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    /// Acknowledged keys that a member has not, counted on each member.
    pub lost: u64,
    /// Keys that a member has although their client was told that they are not, or that nobody was ever told of.
    pub present: u64,
    /// 1 if the members differ.
    pub differences: u64,
    /// What is wrong, in sentences.
    pub texts: Vec<String>,
}

/// Compares all members with each other and with the load's ledger. Keys with an open outcome are settled by it.
pub(super) async fn check(cluster: &Cluster, load: &Load, base: &Base) -> Result<Findings> {
    let mut findings = Findings::default();
    let members: Vec<&Member> = cluster.members.iter().collect();
    // A server that crashed skips up to 32 values of a sequence; that it is not behind its table is checked below.
    if let Err(difference) = members_equal(&members, EqualityOptions::default().without_sequences()).await {
        findings.differences += 1;
        findings.texts.push(difference.to_string());
    }
    for kind in Kind::ALL {
        for member in &members {
            let found = keys(member, kind).await?;
            let journal = load.with_ledger(|ledger| ledger.journal(kind));
            findings.compare(member.name(), kind, &found, &journal);
        }
        // On which member does not matter: they are equal, or the run ends here.
        let found = keys(members[0], kind).await?;
        load.with_ledger(|ledger| ledger.settle(kind, &found));
    }
    let books = BOOKS.replace("$base_moved", &base.moved).replace("$base_sold", &base.sold);
    for member in &members {
        let wrong = member.endpoint().value(&books).await?;
        if !wrong.is_empty() {
            findings.texts.push(format!("{}: {wrong}", member.name()));
        }
    }
    Ok(findings)
}

impl Findings {
    fn compare(&mut self, member: &str, kind: Kind, found: &BTreeSet<i64>, journal: &Journal) {
        let lost: Vec<i64> = journal.acknowledged.difference(found).copied().collect();
        let refused: Vec<i64> = journal.refused.intersection(found).copied().collect();
        let told =
            |key: &&i64| journal.acknowledged.contains(key) || journal.unknown.contains(key) || refused.contains(key);
        let made_up: Vec<i64> = found.iter().filter(|key| !told(key)).copied().collect();
        self.lost += lost.len() as u64;
        self.present += (refused.len() + made_up.len()) as u64;
        for (keys, what) in [
            (lost, "acknowledged, and not there"),
            (refused, "there, though their client was told that they are not"),
            (made_up, "there, and no client was told of them"),
        ] {
            if !keys.is_empty() {
                let shown = &keys[..keys.len().min(KEYS_SHOWN)];
                self.texts.push(format!("{member}: {} keys of kind {kind} {what}: {shown:?} …", keys.len()));
            }
        }
    }
}

async fn keys(member: &Member, kind: Kind) -> Result<BTreeSet<i64>> {
    let (table, column) = kind.table();
    let rows = member.endpoint().rows(&format!("select {column} from {table}")).await?;
    let keys = rows.into_iter().flatten().flatten().map(|key| key.parse::<i64>());
    Ok(keys.collect::<std::result::Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_wrong_key_is_found() {
        let journal = Journal {
            acknowledged: BTreeSet::from([1, 2]),
            unknown: BTreeSet::from([3, 4]),
            refused: BTreeSet::from([5, 6]),
        };
        let compare = |found: &[i64]| {
            let mut findings = Findings::default();
            findings.compare("pg1", Kind::Insert, &found.iter().copied().collect(), &journal);
            (findings.lost, findings.present, findings.texts.len())
        };
        assert_eq!(compare(&[1, 2, 3]), (0, 0, 0));
        assert_eq!(compare(&[2]), (1, 0, 1));
        assert_eq!(compare(&[1, 2, 5]), (0, 1, 1));
        assert_eq!(compare(&[1, 2, 7]), (0, 1, 1));
        assert_eq!(compare(&[5, 7]), (2, 2, 3));
    }
}
