//! raidb at level raidb-1, default settings, in front of all servers.

use super::{Place, Started, Target};
use crate::error::{Context as _, Result};
use crate::process::Server;
use crate::{ports, programs};
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
        self.program
            .is_file()
            .then(|| programs::first_line(&self.program, &["--version"]))
    }

    fn replicates(&self) -> bool {
        true
    }

    fn start(&self, place: &Place<'_>) -> Result<Started> {
        let port = ports::free()?;
        let file = place.dir.join("raidb.toml");
        std::fs::write(&file, config(place, port)?).context(|| "cannot write raidb.toml".into())?;
        let mut command = Command::new(&self.program);
        command.arg("run").arg("--config").arg(&file);
        let server = Server::start("raidb", command, port, &place.dir.join("raidb.log"))?;
        Ok(Started {
            ports: vec![port],
            server: Some(server),
        })
    }
}

fn config(place: &Place<'_>, port: u16) -> Result<String> {
    let mut text = format!(
        "[listen]\n\
         postgres = \"127.0.0.1:{port}\"\n\
         admin = \"127.0.0.1:{admin}\"\n\
         [log]\n\
         dir = \"{dir}/raidb-log\"\n\
         [[virtual_database]]\n\
         name = \"{database}\"\n\
         level = \"raidb-1\"\n",
        admin = ports::free()?,
        dir = place.dir.display(),
        database = place.database,
    );
    for member in place.members {
        write!(
            text,
            "[[virtual_database.member]]\n\
             name = \"{name}\"\n\
             url = \"postgresql://postgres@127.0.0.1:{port}/{database}\"\n",
            name = member.name,
            port = member.port,
            database = place.database,
        )
        .context(|| "cannot write raidb.toml".into())?;
    }
    Ok(text)
}
