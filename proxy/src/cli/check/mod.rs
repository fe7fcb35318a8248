//! `raidb check`: are the members of each virtual database alike?
//!
//! Connects the way the proxy does, reads facts (topic, name, value) from each member and shows those that
//! are not the same everywhere. Reads only. Run it when nobody writes: the members are read one by one, not
//! at one position.

mod compare;
pub(super) mod connect;
mod facts;
mod queries;

use std::path::Path;
use std::process::ExitCode;

use futures::future::join_all;
use raidb_core::config::VirtualDatabase;

use super::load::load;
use super::table;
use crate::tls;
use compare::Difference;
use facts::Facts;

/// Checks configuration and members and prints what differs.
pub(super) async fn check(file: &Path) -> ExitCode {
    let config = match load(file) {
        Ok(config) => config,
        Err(code) => return code,
    };
    println!("{}: the configuration is valid", file.display());
    let mut alike = true;
    if let Some(files) = &config.listen.tls
        && let Err(error) = tls::server_config(files)
    {
        println!("listen: TLS cannot be set up: {error}");
        alike = false;
    }
    for database in &config.virtual_databases {
        alike &= check_database(database).await;
    }
    if alike { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints what differs in one virtual database; true if nothing does.
async fn check_database(database: &VirtualDatabase) -> bool {
    println!("\n{}: {}, {} members", database.name, database.level, database.members.len());
    let facts = join_all(database.members.iter().map(facts::read)).await;
    let mut reached: Vec<(&str, &Facts)> = Vec::new();
    for (member, facts) in database.members.iter().zip(&facts) {
        match facts {
            Ok(facts) => reached.push((&member.name, facts)),
            Err(problem) => println!("{} ({}): {problem}", member.name, member.url),
        }
    }
    let differences = compare::compare(&reached);
    print!("{}", report(&reached, &differences));
    reached.len() == database.members.len() && differences.iter().all(|difference| difference.is_note)
}

fn report(reached: &[(&str, &Facts)], differences: &[Difference]) -> String {
    if differences.is_empty() {
        return match reached.len() {
            0 => String::from("no member could be read\n"),
            1 => String::from("one member could be read; there is nothing to compare\n"),
            count => format!("{count} members are alike in {} facts\n", reached[0].1.len()),
        };
    }
    let mut head = vec!["TOPIC", "NAME"];
    head.extend(reached.iter().map(|(name, _)| *name));
    let rows: Vec<Vec<String>> = differences.iter().map(Difference::row).collect();
    let notes = differences.iter().filter(|difference| difference.is_note).count();
    let count = differences.len() - notes;
    format!("{}{count} differences, {notes} notes\n", table::render(&head, &rows))
}
