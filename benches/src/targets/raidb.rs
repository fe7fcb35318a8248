//! raidb at level raidb-1, default settings, in front of all servers.

use super::{Place, Started, Target};
use crate::members::DATABASE;
use crate::process::Server;
use crate::programs;
use scenarios::cluster::free_port;
use scenarios::{Failure, Result};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// The proxy serves clients within this time.
const READY_LIMIT: Duration = Duration::from_secs(30);
const READY_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Raidb {
    pub(super) program: PathBuf,
}

impl Target for Raidb {
    fn missing(&self) -> Option<String> {
        (!self.program.is_file()).then(|| format!("{} does not exist", self.program.display()))
    }

    fn version(&self) -> Option<String> {
        self.program.is_file().then(|| programs::first_line(&self.program, &["--version"]))
    }

    fn replicates(&self) -> bool {
        true
    }

    fn start(&self, place: &Place) -> Result<Started> {
        let (port, admin) = (free_port()?, free_port()?);
        let file = place.dir.join("raidb.toml");
        std::fs::write(&file, config(place, port, admin)?)?;
        let mut command = Command::new(&self.program);
        command.arg("run").arg("--config").arg(&file);
        let server = Server::start("raidb", command, port, &place.dir.join("raidb.log"))?;
        // Its start ends other connections to the members, and this benchmark's are such.
        wait_until_ready(admin)?;
        Ok(Started { ports: vec![port], server: Some(server) })
    }
}

/// Waits until the proxy serves clients.
fn wait_until_ready(admin: u16) -> Result<()> {
    let until = Instant::now() + READY_LIMIT;
    while Instant::now() < until {
        let mut answer = String::new();
        let asked = TcpStream::connect(("127.0.0.1", admin)).and_then(|mut stream| {
            stream.write_all(b"GET /health/ready HTTP/1.0\r\n\r\n")?;
            stream.read_to_string(&mut answer)
        });
        if asked.is_ok() && answer.split_whitespace().nth(1) == Some("200") {
            return Ok(());
        }
        std::thread::sleep(READY_PAUSE);
    }
    Err(Failure::new(format!("raidb did not become ready within {READY_LIMIT:?}")))
}

fn config(place: &Place, port: u16, admin: u16) -> Result<String> {
    let mut text = format!(
        "[listen]\n\
         postgres = \"127.0.0.1:{port}\"\n\
         admin = \"127.0.0.1:{admin}\"\n\
         [log]\n\
         dir = \"{dir}/raidb-log\"\n\
         [[virtual_database]]\n\
         name = \"{database}\"\n\
         level = \"raidb-1\"\n",
        dir = place.dir.display(),
        database = DATABASE,
    );
    for (name, port) in &place.members {
        write!(
            text,
            "[[virtual_database.member]]\n\
             name = \"{name}\"\n\
             url = \"postgresql://postgres@127.0.0.1:{port}/{database}\"\n",
            database = DATABASE,
        )?;
    }
    Ok(text)
}
