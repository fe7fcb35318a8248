//! A client that collects what it is notified of.

use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client, NoTls, Notification};

use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

/// How long a notification may be on its way.
const LIMIT: Duration = Duration::from_secs(60);
/// How long is waited for one that must not come.
const QUIET: Duration = Duration::from_millis(150);

/// See the module.
pub(super) struct Listener {
    pub(super) client: Client,
    received: UnboundedReceiver<Notification>,
}

impl Listener {
    pub(super) async fn connect(endpoint: &Endpoint) -> Result<Self> {
        let (client, mut connection) = endpoint.config().connect(NoTls).await?;
        let (sender, received) = unbounded_channel();
        tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(notification) = message {
                    // Nobody wants it any more.
                    let _ = sender.send(notification);
                }
            }
        });
        Ok(Self { client, received })
    }

    /// The next one. The client sends nothing meanwhile.
    pub(super) async fn next(&mut self) -> Result<Notification> {
        let next = timeout(LIMIT, self.received.recv()).await.map_err(|_| Failure::new("no notification came"))?;
        next.ok_or_else(|| Failure::new("the listener's connection is gone"))
    }

    /// The next ones, as `channel:payload`, and no more.
    pub(super) async fn expect(&mut self, wanted: &[&str]) -> Result<()> {
        let mut found = Vec::new();
        for _ in wanted {
            let next = self.next().await.map_err(|error| error.during(format!("{found:?} of {wanted:?}")))?;
            found.push(format!("{}:{}", next.channel(), next.payload()));
        }
        while let Ok(Some(more)) = timeout(QUIET, self.received.recv()).await {
            found.push(format!("{}:{}", more.channel(), more.payload()));
        }
        if found == wanted { Ok(()) } else { fail(format!("notified of {found:?} in place of {wanted:?}")) }
    }
}
