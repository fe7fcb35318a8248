//! raidb at level raidb-1, default settings, in front of all servers.

use super::{Place, Started, Target};
use crate::members::DATABASE;
use crate::process::Server;
use crate::programs;
use scenarios::Result;
use scenarios::cluster::free_port;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

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
        let port = free_port()?;
        let file = place.dir.join("raidb.toml");
        std::fs::write(&file, config(place, port)?)?;
        let mut command = Command::new(&self.program);
        command.arg("run").arg("--config").arg(&file);
        let server = Server::start("raidb", command, port, &place.dir.join("raidb.log"))?;
        Ok(Started { ports: vec![port], server: Some(server) })
    }
}

fn config(place: &Place, port: u16) -> Result<String> {
    let mut text = format!(
        "[listen]\n\
         postgres = \"127.0.0.1:{port}\"\n\
         admin = \"127.0.0.1:{admin}\"\n\
         [log]\n\
         dir = \"{dir}/raidb-log\"\n\
         [[virtual_database]]\n\
         name = \"{database}\"\n\
         level = \"raidb-1\"\n",
        admin = free_port()?,
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
