//! One bare server: what clients have without any proxy.

use super::{Place, Started, Target};
use scenarios::Result;

pub(super) struct Postgres;

impl Target for Postgres {
    fn missing(&self) -> Option<String> {
        None
    }

    fn version(&self) -> Option<String> {
        None
    }

    fn replicates(&self) -> bool {
        false
    }

    fn start(&self, place: &Place) -> Result<Started> {
        Ok(Started { ports: vec![place.members[0].1], server: None })
    }
}
