//! Processes of a run: members, the proxy, relays between them, and how to break each.

mod certificates;
mod http;
mod ports;
mod postgres;
mod process;
mod proxy;
mod relay;
mod setup;
mod template;

pub use certificates::Certificates;
pub use ports::free_port;
pub use postgres::{Member, MemberOptions};
pub use process::{descendants, is_alive, kill_now, signal};
pub use proxy::{Proxy, ProxyOptions, ProxyUser, operate, status_at};
pub use relay::{Delay, LinkState, Relay, Shape, Way};
pub use setup::{Cluster, ClusterOptions, states_in};
