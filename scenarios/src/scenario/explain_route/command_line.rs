//! `raidb explain` says the same without the proxy.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::expect_lines;
use crate::cluster::Cluster;
use crate::{Failure, Result, fail};

/// Returns how many statements were explained.
pub(super) async fn run(cluster: &Cluster) -> Result<usize> {
    let one = "update er_keyed set v = 0 where id = 9";
    let output = explain(cluster, &[one], None)?;
    expect(&output, 0, one, &["class: write", "form: keyed", "rows: public.er_keyed where id = 9", "pg1, pg2, pg3"])?;
    let refused = "insert into er_always values (1, 1)";
    expect(&explain(cluster, &[refused], None)?, 0, refused, &["class: refused", "severity: doubtful"])?;
    let two = "select er_write(1);\n-- nothing\nvacuum;";
    expect(&explain(cluster, &["-"], Some(two))?, 0, two, &["form: probed", "class: utility", "form: one by one"])?;
    for wrong in [&["select 1", "--database", "nobody"][..], &[" ;"], &[]] {
        let output = explain(cluster, wrong, None)?;
        if output.status.code() != Some(64) {
            return fail(format!("raidb explain {wrong:?}: {:?} in place of 64", output.status));
        }
    }
    Ok(4)
}

fn explain(cluster: &Cluster, arguments: &[&str], input: Option<&str>) -> Result<Output> {
    let proxy = cluster.proxy()?;
    let mut command = Command::new(proxy.binary());
    command.arg("explain").args(arguments).arg("--config").arg(proxy.config());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().ok_or_else(|| Failure::new("no standard input"))?;
    stdin.write_all(input.unwrap_or_default().as_bytes())?;
    drop(stdin);
    Ok(child.wait_with_output()?)
}

fn expect(output: &Output, code: i32, sql: &str, wanted: &[&str]) -> Result<()> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.code() != Some(code) {
        return fail(format!("{sql}: {:?}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    expect_lines(sql, &lines, wanted)
}
