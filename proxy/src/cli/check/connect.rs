//! Connects to a member as the proxy does, from its configuration.

use std::time::Duration;

use raidb_core::config::{Endpoint, Member, SslMode};
use raidb_core::ids::MemberId;

use crate::members::pg::connect::ConnectError;
use crate::members::pg::maintenance::Maintenance;
use crate::members::pg::target::{Address, Login, MemberTls, Target};
use crate::tls::client_config;

/// Time for a connection. At the limit: the member counts as not reached.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Opens a connection.
pub(in crate::cli) async fn connect(member: &Member) -> Result<Maintenance, String> {
    let url = &member.url;
    let config = client_config(url).map_err(|error| error.to_string())?;
    let tls = match config {
        None => MemberTls::Disabled,
        Some(config) if url.sslmode == SslMode::Prefer => MemberTls::Preferred(config),
        Some(config) => MemberTls::Required(config),
    };
    let address = match &url.endpoint {
        Endpoint::Tcp { host, port } => Address::Tcp { host: host.clone(), port: *port },
        Endpoint::Unix { dir, port } => Address::Unix(dir.join(format!(".s.PGSQL.{port}"))),
    };
    // The number tells members apart within a running proxy; here there is none.
    let target = Target { id: MemberId(0), name: member.name.clone(), address, database: url.dbname.clone(), tls };
    let password = url.password.as_ref().map(|password| password.expose().to_owned());
    let login = Login { user: url.user.clone(), password };
    let connected: Result<Maintenance, ConnectError> = Maintenance::connect(&target, &login, CONNECT_TIME_MAX).await;
    connected.map_err(|error| format!("cannot connect: {error}"))
}
