//! Every bare server under its own full load at the same time; the figure is the mean of one server. On one
//! machine nothing that writes to all of them can be faster, so this is the limit.

use super::{Place, Started, Target};
use scenarios::Result;

pub(super) struct ThreeAtOnce;

impl Target for ThreeAtOnce {
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
        Ok(Started { ports: place.members.iter().map(|(_, port)| *port).collect(), server: None })
    }
}
