//! The same application on one bare PostgreSQL and through the proxy: what it prints must be the same, line by line.

mod features;

use std::future::Future;

use super::ending;
use crate::clients::Printed;
use crate::cluster::{Cluster, ClusterOptions, Member, MemberOptions};
use crate::sql::Endpoint;
use crate::{Options, Result, Summary, fail};

/// Last line of a transcript that is whole.
const END: &str = "END";
/// How a line begins that tells of a part that did not come to its end.
const BROKEN: &str = "BROKEN";
/// Differing lines that a report shows.
const DIFFERENCES_SHOWN: usize = 20;
/// Characters of a line that a report shows.
const LINE_SHOWN: usize = 600;
/// Some applications commit in two phases, which a server does not allow by default.
const MEMBER_SETTING: &str = "max_prepared_transactions = 10";

/// A bare server beside members and proxy.
pub(super) struct Pair {
    /// Members and proxy.
    pub cluster: Cluster,
    bare: Member,
}

impl Pair {
    /// Starts everything.
    pub(super) async fn start(options: &Options) -> Result<Self> {
        let settings = vec![MEMBER_SETTING.to_owned()];
        let setup = ClusterOptions { member_settings: settings.clone(), ..ClusterOptions::default() };
        let bare = MemberOptions { settings, ..MemberOptions::new("bare", &setup.database) };
        let cluster = Cluster::start(options, setup).await?;
        let bare = Member::start(cluster.home(), bare).await?;
        Ok(Self { cluster, bare })
    }

    /// Runs `application` on the bare server and through the proxy, and compares what it printed; then the members.
    ///
    /// The application gets an endpoint and the names of the features that are on, separated by commas.
    pub(super) async fn compare<F, R>(&self, application: F) -> Result<Summary>
    where
        F: Fn(Endpoint, String) -> R,
        R: Future<Output = Result<Printed>>,
    {
        let features = features::enabled();
        let (wanted, got) = futures::future::try_join(
            application(self.bare.endpoint(), features.clone()),
            application(self.cluster.endpoint(), features),
        )
        .await?;
        let lines = transcript("the bare server", &wanted)?;
        let found = transcript("the proxy", &got);
        let differences = differences(&lines, &got.out.lines().collect::<Vec<_>>());
        if !differences.is_empty() {
            return fail(format!("not as on a bare PostgreSQL:\n{}\n{}", differences.join("\n"), got.err));
        }
        found?;
        let rows = ending(&self.cluster).await?;
        Ok(Summary::default().with("lines", lines.len()).with("rows", rows))
    }
}

/// The whole of a scenario that does nothing else.
pub(super) async fn compare<F, R>(options: Options, application: F) -> Result<Summary>
where
    F: Fn(Endpoint, String) -> R,
    R: Future<Output = Result<Printed>>,
{
    Pair::start(&options).await?.compare(application).await
}

/// The lines of an application that came to its end, with no part broken.
fn transcript<'a>(place: &str, printed: &'a Printed) -> Result<Vec<&'a str>> {
    let lines: Vec<_> = printed.out.lines().collect();
    let broken: Vec<_> = lines.iter().filter(|line| line.starts_with(BROKEN)).map(|line| shown(line)).collect();
    if printed.code != 0 || lines.last() != Some(&END) || !broken.is_empty() {
        let (code, broken) = (printed.code, broken.join("\n"));
        return fail(format!("on {place} it ended with {code}:\n{broken}\n{}", printed.err));
    }
    Ok(lines)
}

/// What differs, from both ends: between two differing lines others may be the same, but most often one is more.
fn differences(wanted: &[&str], got: &[&str]) -> Vec<String> {
    let same = wanted.iter().zip(got).take_while(|(a, b)| a == b).count();
    let (wanted, got) = (&wanted[same..], &got[same..]);
    let same = wanted.iter().rev().zip(got.iter().rev()).take_while(|(a, b)| a == b).count();
    let (wanted, got) = (&wanted[..wanted.len() - same], &got[..got.len() - same]);
    let side = |sign: char, lines: &[&str], others: &[&str]| -> Vec<String> {
        let only = lines.iter().filter(|line| !others.contains(line));
        only.take(DIFFERENCES_SHOWN).map(|line| format!("{sign} {}", shown(line))).collect()
    };
    let mut all = side('-', wanted, got);
    all.extend(side('+', got, wanted));
    if all.is_empty() && wanted != got {
        all.push("the same lines in another order or number".to_owned());
    }
    all
}

fn shown(line: &str) -> String {
    line.chars().take(LINE_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found_wherever_they_are() {
        let cases: [(&[&str], &[&str], &[&str]); 5] = [
            (&["a", "b", "END"], &["a", "b", "END"], &[]),
            (&["a", "b", "END"], &["a", "c", "END"], &["- b", "+ c"]),
            (&["a", "b", "END"], &["a", "END"], &["- b"]),
            (&["a", "END"], &["a", "b", "END"], &["+ b"]),
            (&["a", "b", "END"], &["b", "a", "END"], &["the same lines in another order or number"]),
        ];
        for (wanted, got, told) in cases {
            assert_eq!(differences(wanted, got), told, "{wanted:?} and {got:?}");
        }
    }

    #[test]
    fn a_transcript_is_whole_or_refused() {
        let printed = |out: &str, code| Printed { out: out.to_owned(), err: String::new(), code };
        assert!(transcript("x", &printed("a\nEND\n", 0)).is_ok());
        assert!(transcript("x", &printed("a\nEND\n", 1)).is_err());
        assert!(transcript("x", &printed("a\n", 0)).is_err());
        assert!(transcript("x", &printed("BROKEN a: 0A000\nEND\n", 0)).is_err());
    }
}
