//! `raidb member`: adds a member, takes one out, brings it back, makes it anew; by way of a running proxy.

use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::entry::{self, NewEntry, Prepared};
use super::{EXIT_USAGE, http_get};
use crate::admin::{NewMember, Status};

/// Pause between two looks at the progress.
const PROGRESS_PAUSE: Duration = Duration::from_millis(500);

/// What is asked.
#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// Add a member to the configuration file and to the running proxy, and build it as a copy of another one
    Add {
        #[command(flatten)]
        named: Named,
        /// Where it is: postgresql://user[:password]@host[:port]/dbname. That database is made anew
        #[arg(long)]
        url: String,
        /// Share of reads under pick = "weighted"
        #[arg(long, default_value_t = 1)]
        weight: u32,
        /// The member to copy from; by default one that does not lead
        #[arg(long)]
        from: Option<String>,
        /// Configuration file of the proxy
        #[arg(long, default_value = "raidb.toml", env = "RAIDB_CONFIG")]
        config: PathBuf,
    },
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
        MemberCommand::Add { named, url, weight, from, config } => {
            return add(named, NewEntry { url, weight }, from, &config).await;
        }
        MemberCommand::Disable(named) => (named, "disable".to_owned()),
        MemberCommand::Enable(named) => (named, "enable".to_owned()),
        MemberCommand::Rebuild { named, from: None } => (named, "rebuild".to_owned()),
        MemberCommand::Rebuild { named, from: Some(donor) } => (named, format!("rebuild?from={}", escaped(&donor))),
    };
    ended(run(&named, &verb, "").await)
}

fn ended(result: Result<String, String>) -> ExitCode {
    match result {
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

/// The file first, so that a restart knows the member; then the proxy. What was done before is passed over, so that the command
/// may be run again.
async fn add(named: Named, new: NewEntry, from: Option<String>, config: &Path) -> ExitCode {
    let entry = match entry::prepare(config, named.database.as_deref(), &named.name, &new) {
        Ok(entry) => entry,
        Err(problem) => {
            eprintln!("raidb: {problem}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let named = Named { database: Some(entry.database.clone()), ..named };
    let added = async {
        let status = status(&named.admin).await?;
        let Some(database) = status.virtual_databases.iter().find(|d| d.name == entry.database) else {
            return Err(format!("the proxy at {} has no virtual database \"{}\"", named.admin, entry.database));
        };
        if database.members.iter().any(|m| m.name == named.name) {
            let name = &named.name;
            return Err(format!("\"{name}\" is a member already; `raidb member rebuild {name}` makes it anew"));
        }
        entry.write()?;
        let new = NewMember { url: new.url, weight: new.weight, from, base_dir: entry.base_dir.clone() };
        let body = serde_json::to_string(&new).map_err(|error| error.to_string())?;
        match run(&named, "add", &body).await {
            Err(why) => Err(format!("{}\n{}", why.trim_end(), not_added(&named, &entry, config).await)),
            done => done,
        }
    };
    ended(added.await)
}

/// What became of the entry. It stays if the member is one nevertheless, or if that cannot be found out.
async fn not_added(named: &Named, entry: &Prepared, config: &Path) -> String {
    let file = config.display();
    let is_no_member = status(&named.admin).await.is_ok_and(|status| {
        let found = status.virtual_databases.iter().find(|d| d.name == entry.database);
        found.is_some_and(|database| database.members.iter().all(|m| m.name != named.name))
    });
    if is_no_member {
        match entry.take_back() {
            Ok(true) => return format!("{file} is as it was before"),
            Ok(false) => {}
            Err(problem) => return format!("{problem}; remove the entry of \"{}\" from {file}", named.name),
        }
    }
    format!("{file} has the entry; a start of the proxy finds the member disabled (new)")
}

async fn run(named: &Named, verb: &str, body: &str) -> Result<String, String> {
    let unreachable = |error: std::io::Error| http_get::no_answer("answer", &named.admin, &error);
    let database = match &named.database {
        Some(database) => database.clone(),
        None => only_database(&named.admin).await?,
    };
    let path = format!("/members/{}/{}/{verb}", escaped(&database), escaped(&named.name));
    let work = http_get::post(&named.admin, &path, body);
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
    let got = http_get::get(admin, "/status").await;
    let body = got.map_err(|error| http_get::no_answer("answer", admin, &error))?;
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
