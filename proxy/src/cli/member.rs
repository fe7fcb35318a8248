//! `raidb member`: takes a member out, brings it back, makes it anew; by way of a running proxy.

use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::http_get;
use crate::admin::Status;

/// Pause between two looks at the progress.
const PROGRESS_PAUSE: Duration = Duration::from_millis(500);

/// What is asked.
#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// Take a member out; open transactions go on with the others
    Disable(Named),
    /// Bring a disabled member back from the recovery log
    Enable(Named),
    /// Make a disabled member anew: a copy of another one, then the log
    Rebuild {
        #[command(flatten)]
        named: Named,
        /// The member to copy from; by default one that does not lead
        #[arg(long)]
        from: Option<String>,
    },
}

/// Which member, and where the proxy is.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// Name of the member
    name: String,
    /// Virtual database; may be left out if there is only one
    #[arg(long)]
    database: Option<String>,
    /// Address of the proxy's admin listener
    #[arg(long, default_value = "127.0.0.1:7432", env = "RAIDB_ADMIN")]
    admin: String,
}

/// Asks the proxy and prints what it says.
pub(super) async fn member(command: MemberCommand) -> ExitCode {
    let (named, verb) = match command {
        MemberCommand::Disable(named) => (named, "disable".to_owned()),
        MemberCommand::Enable(named) => (named, "enable".to_owned()),
        MemberCommand::Rebuild { named, from: None } => (named, "rebuild".to_owned()),
        MemberCommand::Rebuild { named, from: Some(donor) } => (named, format!("rebuild?from={}", escaped(&donor))),
    };
    match run(&named, &verb).await {
        Ok(done) => {
            print!("{done}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("raidb: {}", problem.trim_end());
            ExitCode::FAILURE
        }
    }
}

async fn run(named: &Named, verb: &str) -> Result<String, String> {
    let unreachable = |error: std::io::Error| format!("no answer from {}: {error}", named.admin);
    let database = match &named.database {
        Some(database) => database.clone(),
        None => only_database(&named.admin).await?,
    };
    let path = format!("/members/{}/{}/{verb}", escaped(&database), escaped(&named.name));
    let work = http_get::post(&named.admin, &path);
    tokio::pin!(work);
    let answer = loop {
        tokio::select! {
            answer = &mut work => break answer.map_err(unreachable)?,
            () = tokio::time::sleep(PROGRESS_PAUSE) => show_progress(&named.admin, &database, &named.name).await,
        }
    };
    clear_progress();
    let (code, text) = answer;
    if code == 200 { Ok(text) } else { Err(text) }
}

async fn status(admin: &str) -> Result<Status, String> {
    let body = http_get::get(admin, "/status").await.map_err(|error| format!("no answer from {admin}: {error}"))?;
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

async fn only_database(admin: &str) -> Result<String, String> {
    let names: Vec<String> = status(admin).await?.virtual_databases.into_iter().map(|d| d.name).collect();
    match names.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(format!("say which virtual database: --database {}", names.join(" | "))),
    }
}

async fn show_progress(admin: &str, database: &str, member: &str) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let Ok(status) = status(admin).await else { return };
    let found = status.virtual_databases.iter().filter(|d| d.name == database).flat_map(|d| &d.members);
    if let Some(member) = found.into_iter().find(|m| m.name == member) {
        let progress = member.progress.as_deref().unwrap_or("");
        eprint!("\r\x1b[K{} is {}: {progress}", member.name, member.state);
        let _shown = std::io::stderr().flush();
    }
}

fn clear_progress() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}

/// A name as part of a path.
fn escaped(name: &str) -> String {
    name.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-_.".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_become_paths() {
        assert_eq!(super::escaped("pg-1_a.b"), "pg-1_a.b");
        assert_eq!(super::escaped("a/b?ü"), "a%2Fb%3F%C3%BC");
    }
}
