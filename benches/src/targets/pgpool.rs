//! pgpool-II in native replication mode in front of all servers: the rival.

use super::{Place, Started, Target};
use crate::process::Server;
use crate::programs;
use scenarios::cluster::free_port;
use scenarios::{Failure, Result};
use std::fmt::Write as _;

pub(super) struct Pgpool;

impl Target for Pgpool {
    fn missing(&self) -> Option<String> {
        programs::find("pgpool").is_none().then(|| "pgpool (package pgpool2) is not installed".into())
    }

    fn version(&self) -> Option<String> {
        programs::find("pgpool").map(|program| programs::first_line(program, &["--version"]))
    }

    fn replicates(&self) -> bool {
        true
    }

    fn start(&self, place: &Place) -> Result<Started> {
        let program = programs::find("pgpool").ok_or_else(|| Failure::new("pgpool is not installed"))?;
        let port = free_port()?;
        let file = place.dir.join("pgpool.conf");
        std::fs::write(&file, config(place, port)?)?;
        let empty = place.dir.join("empty.conf");
        std::fs::write(&empty, "")?;
        let mut command = programs::unprivileged(&program);
        command.arg("-n").arg("-D").arg("-f").arg(&file).arg("-F").arg(&empty).arg("-a").arg(&empty);
        let server = Server::start("pgpool", command, port, &place.dir.join("pgpool.log"))?.stopped_by("INT");
        Ok(Started { ports: vec![port], server: Some(server) })
    }
}

fn config(place: &Place, port: u16) -> Result<String> {
    let dir = place.dir.display();
    let mut text = format!(
        "backend_clustering_mode = 'native_replication'\n\
         listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         socket_dir = '{dir}'\n\
         pcp_listen_addresses = '127.0.0.1'\n\
         pcp_port = {pcp}\n\
         pcp_socket_dir = '{dir}'\n\
         pid_file_name = '{dir}/pgpool.pid'\n\
         logdir = '{dir}'\n\
         num_init_children = 32\n\
         max_pool = 1\n\
         enable_pool_hba = off\n\
         load_balance_mode = on\n\
         replicate_select = off\n\
         health_check_period = 0\n\
         log_min_messages = warning\n",
        pcp = free_port()?,
    );
    for (number, (_, port)) in place.members.iter().enumerate() {
        write!(
            text,
            "backend_hostname{number} = '127.0.0.1'\n\
             backend_port{number} = {port}\n\
             backend_weight{number} = 1\n\
             backend_flag{number} = 'DISALLOW_TO_FAILOVER'\n",
        )?;
    }
    Ok(text)
}
