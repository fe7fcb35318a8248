//! The hosts of a URL, each as a configuration of its own: so that one that takes a connection and says nothing (a process that
//! hangs) costs its own time limit and not that of the next.

use std::net::IpAddr;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts};
use tokio_postgres_rustls::MakeRustlsConnect;

/// One configuration per host, in the order of the URL.
#[derive(Clone)]
pub(crate) struct Endpoints {
    pub(crate) tls: MakeRustlsConnect,
    each: Vec<Config>,
    random: bool,
}

impl Endpoints {
    pub(crate) fn of(config: &Config, tls: MakeRustlsConnect) -> Self {
        let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
        let count = hosts.len().max(addresses.len()).max(1);
        let each = (0..count).map(|index| {
            // One port may stand for all hosts.
            let port = ports.get(index).or_else(|| ports.first());
            one(config, hosts.get(index), addresses.get(index), port)
        });
        Self { tls, each: each.collect(), random: config.get_load_balance_hosts() == LoadBalanceHosts::Random }
    }

    /// The same, for a connection that is to be found under this name (`application_name`).
    pub(crate) fn named(&self, name: &str) -> Self {
        let mut named = self.clone();
        for config in &mut named.each {
            config.application_name(name);
        }
        named
    }

    /// In the order in which they are to be tried this time.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &Config> {
        let start = if self.random { rand::random_range(0..self.each.len()) } else { 0 };
        self.each.iter().cycle().skip(start).take(self.each.len())
    }
}

impl std::fmt::Debug for Endpoints {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list().entries(&self.each).finish()
    }
}

/// The same with one host.
fn one(config: &Config, host: Option<&Host>, address: Option<&IpAddr>, port: Option<&u16>) -> Config {
    let mut one = Config::new();
    match host {
        Some(Host::Tcp(name)) => one.host(name),
        #[cfg(unix)]
        Some(Host::Unix(path)) => one.host_path(path),
        // TLS asks for a name to verify.
        None => match address {
            Some(address) => one.host(address.to_string()),
            None => &mut one,
        },
    };
    address.map(|address| one.hostaddr(*address));
    port.map(|port| one.port(*port));
    config.get_user().map(|user| one.user(user));
    config.get_password().map(|password| one.password(password));
    config.get_dbname().map(|name| one.dbname(name));
    config.get_options().map(|options| one.options(options));
    config.get_application_name().map(|name| one.application_name(name));
    config.get_connect_timeout().map(|limit| one.connect_timeout(*limit));
    config.get_tcp_user_timeout().map(|limit| one.tcp_user_timeout(*limit));
    config.get_keepalives_interval().map(|interval| one.keepalives_interval(interval));
    config.get_keepalives_retries().map(|retries| one.keepalives_retries(retries));
    one.keepalives(config.get_keepalives()).keepalives_idle(config.get_keepalives_idle());
    one.ssl_mode(config.get_ssl_mode()).ssl_negotiation(config.get_ssl_negotiation());
    one.channel_binding(config.get_channel_binding()).target_session_attrs(config.get_target_session_attrs());
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_is_one_configuration_with_everything_else() {
        let (config, tls) =
            super::super::read_url("postgresql://me:secret@h1:1,h2:2/db?application_name=x&connect_timeout=3")
                .expect("a URL");
        let endpoints = Endpoints::of(&config, tls.clone());
        let each: Vec<_> = endpoints.in_order().collect();
        assert_eq!(each.len(), 2);
        for (index, one) in each.into_iter().enumerate() {
            assert_eq!(
                (one.get_hosts(), one.get_ports()),
                (&config.get_hosts()[index..=index], &config.get_ports()[index..=index])
            );
            assert_eq!(
                (one.get_user(), one.get_dbname(), one.get_password()),
                (Some("me"), Some("db"), Some(&b"secret"[..]))
            );
            assert_eq!(
                (one.get_application_name(), one.get_connect_timeout()),
                (Some("x"), config.get_connect_timeout())
            );
        }
        let config: Config = "host=h1,h2,h3 port=7 user=me load_balance_hosts=random".parse().expect("a URL");
        let mut ports: Vec<_> = Endpoints::of(&config, tls).in_order().map(|one| one.get_ports().to_vec()).collect();
        ports.dedup();
        assert_eq!(ports, [[7]]);
    }
}
