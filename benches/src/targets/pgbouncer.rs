//! PgBouncer in session mode in front of one server: the price of one more process in the path.

use super::{Place, Started, Target};
use crate::members::DATABASE;
use crate::process::Server;
use crate::programs;
use scenarios::cluster::free_port;
use scenarios::{Failure, Result};

pub(super) struct PgBouncer;

impl Target for PgBouncer {
    fn missing(&self) -> Option<String> {
        programs::find("pgbouncer").is_none().then(|| "pgbouncer is not installed".into())
    }

    fn version(&self) -> Option<String> {
        programs::find("pgbouncer").map(|program| programs::first_line(program, &["--version"]))
    }

    fn replicates(&self) -> bool {
        false
    }

    fn start(&self, place: &Place) -> Result<Started> {
        let program = programs::find("pgbouncer").ok_or_else(|| Failure::new("pgbouncer is not installed"))?;
        let port = free_port()?;
        let config = format!(
            "[databases]\n\
             {database} = host=127.0.0.1 port={member} user=postgres\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = session\n\
             max_client_conn = 200\n\
             default_pool_size = 100\n\
             ignore_startup_parameters = extra_float_digits\n",
            database = DATABASE,
            member = place.members[0].1,
        );
        let file = place.dir.join("pgbouncer.ini");
        std::fs::write(&file, config)?;
        let mut command = programs::unprivileged(&program);
        command.arg(&file);
        let server = Server::start("pgbouncer", command, port, &place.dir.join("pgbouncer.log"))?;
        Ok(Started { ports: vec![port], server: Some(server) })
    }
}
