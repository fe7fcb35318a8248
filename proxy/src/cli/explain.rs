//! `raidb explain`: what EXPLAIN ROUTE would say, without a running proxy.
//!
//! The catalog is read from the first member that answers, as the proxy reads it. Nothing is executed.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use raidb_core::config::{Config, Member, VirtualDatabase};
use raidb_core::sql::catalog::Catalog;
use raidb_core::sql::catalog_query::{BUILTIN_SQL, CATALOG_SQL, parse, parse_builtins};
use raidb_core::sql::split::split;
use raidb_core::sql::{Settings, analyse};

use super::EXIT_USAGE;
use super::check::connect::connect;
use super::load::load;
use crate::route::{Places, lines};

/// Time to read a catalog. At the limit: the member counts as not reached.
const CATALOG_TIME_MAX: Duration = Duration::from_secs(60);
/// Longest text from standard input. At the limit: a usage error.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// Prints the route of every statement in `sql`; `-`: of those on standard input.
pub(super) async fn explain(sql: &str, file: &Path, database: Option<&str>) -> ExitCode {
    let config = match load(file) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let prepared = chosen(&config, database).and_then(|database| Ok((database, text(sql)?)));
    let (database, text) = match prepared {
        Ok(prepared) => prepared,
        Err(problem) => {
            eprintln!("raidb: {problem}");
            return EXIT_USAGE.into();
        }
    };
    match catalog(database).await {
        Ok(catalog) => {
            println!("{}", routes(&text, &catalog, database));
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("raidb: no catalog of \"{}\" can be read:\n{problem}", database.name);
            ExitCode::FAILURE
        }
    }
}

fn chosen<'c>(config: &'c Config, wished: Option<&str>) -> Result<&'c VirtualDatabase, String> {
    let names = || config.virtual_databases.iter().map(|d| d.name.as_str()).collect::<Vec<_>>();
    match (wished, &config.virtual_databases[..]) {
        (None, [only]) => Ok(only),
        (None, _) => Err(format!("say which virtual database: --database {}", names().join(" | "))),
        (Some(wished), all) => all
            .iter()
            .find(|database| database.name == wished)
            .ok_or_else(|| format!("there is no virtual database \"{wished}\"; there is {}", names().join(", "))),
    }
}

fn text(sql: &str) -> Result<Vec<u8>, String> {
    let mut text = sql.as_bytes().to_vec();
    if sql == "-" {
        text.clear();
        let read = std::io::stdin().take(INPUT_BYTES_MAX + 1).read_to_end(&mut text);
        read.map_err(|error| format!("cannot read standard input: {error}"))?;
    }
    if text.len() as u64 > INPUT_BYTES_MAX {
        return Err(format!("more than {INPUT_BYTES_MAX} bytes of statements"));
    }
    if split(&text, true).is_empty() {
        return Err("there is no statement".to_owned());
    }
    Ok(text)
}

/// The catalog of the first member that answers, or what is wrong with each.
async fn catalog(database: &VirtualDatabase) -> Result<Catalog, String> {
    let mut problems = Vec::new();
    for member in &database.members {
        match read(member).await {
            Ok(catalog) => return Ok(catalog),
            Err(problem) => problems.push(format!("{} ({}): {problem}", member.name, member.url)),
        }
    }
    Err(problems.join("\n"))
}

async fn read(member: &Member) -> Result<Catalog, String> {
    let mut connection = connect(member).await?;
    let builtins = connection.query(&[BUILTIN_SQL], CATALOG_TIME_MAX).await.map_err(|error| error.to_string())?;
    let builtins = parse_builtins(&builtins).map_err(|error| error.to_string())?;
    let results = connection.query(&[CATALOG_SQL], CATALOG_TIME_MAX).await.map_err(|error| error.to_string())?;
    parse(&results, &builtins).map_err(|error| error.to_string())
}

/// The routes, with an empty line between two.
fn routes(text: &[u8], catalog: &Catalog, database: &VirtualDatabase) -> String {
    let settings = Settings { search_path: catalog.default_search_path.clone(), standard_conforming_strings: true };
    let members = database.members.iter().map(|member| member.name.clone()).collect();
    let places = Places { members, lead: None, in_transaction: false };
    let route = |range: std::ops::Range<usize>| {
        let statement = &text[range];
        let analysis = analyse(statement, catalog, &settings);
        lines(statement, &analysis, (catalog, &settings), database.unsafe_statement, &places).join("\n")
    };
    split(text, true).into_iter().map(route).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_has_its_route() {
        let file = "[[virtual_database]]\nname = \"b\"\n[[virtual_database.member]]\nname = \"pg1\"\n\
                    url = \"postgresql://u@127.0.0.1:1/d\"\n";
        let config = Config::parse(file, Path::new("/")).unwrap();
        let database = chosen(&config, None).unwrap();
        let shown = routes(b"select 1; alter system set a = 1;", &Catalog::default(), database);
        let classes: Vec<&str> = shown.lines().filter(|line| line.starts_with("class: ")).collect();
        assert_eq!(classes, ["class: read", "class: refused"], "{shown}");
        assert_eq!(chosen(&config, Some("c")).unwrap_err(), "there is no virtual database \"c\"; there is b");
        assert!(text(" ; -- nothing").is_err());
    }
}
