//! What SET LOCAL changed is reported again when the transaction ends.

use super::support::query;
use crate::clients::{Message, Raw};
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let mut raw = Raw::connect(&cluster.endpoint(), &[("TimeZone", "Europe/Berlin")]).await?;
    let rounds = [
        ("set local timezone = 'Asia/Tokyo'", "commit", "Europe/Berlin"),
        ("set timezone = 'Asia/Tokyo'", "rollback", "Europe/Berlin"),
        ("select set_config('timezone', 'Asia/Tokyo', true)", "commit", "Europe/Berlin"),
        ("set timezone = 'Asia/Tokyo'", "commit", ""),
    ];
    for (set, end, wanted) in rounds {
        query(&mut raw, "begin").await?;
        let changed = time_zone(&query(&mut raw, set).await?);
        let ended = time_zone(&query(&mut raw, end).await?);
        if (changed.as_str(), ended.as_str()) != ("Asia/Tokyo", wanted) {
            return fail(format!("{set} reported {changed:?}, {end} reported {ended:?} in place of {wanted:?}"));
        }
    }
    Ok(())
}

/// The last TimeZone among ParameterStatus messages; empty if there is none.
fn time_zone(messages: &[Message]) -> String {
    let values = messages.iter().filter(|message| message.kind == b'S');
    let last = values.filter_map(|message| message.body.strip_prefix(b"TimeZone\0")?.strip_suffix(b"\0")).next_back();
    String::from_utf8_lossy(last.unwrap_or_default()).into_owned()
}
