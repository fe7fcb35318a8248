//! Processes of a run: members, the proxy, relays between them, and how to break each.

mod certificates;
mod delay_relay;
mod http;
mod ports;
mod postgres;
mod process;
mod proxy;
mod setup;
mod template;

pub use certificates::Certificates;
pub use delay_relay::{Delay, DelayRelay, LinkState};
pub use ports::free_port;
pub use postgres::{Member, MemberOptions};
pub use process::{descendants, is_alive, kill_now, signal};
pub use proxy::{Proxy, ProxyOptions, ProxyUser, status_at};
pub use setup::{Cluster, ClusterOptions, states_in};
