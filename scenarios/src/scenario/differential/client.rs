//! A client that records everything that it is told.

use super::answer::Answer;
use super::corpus::{CopyData, Protocol, Statement};
use crate::clients::Raw;
use crate::sql::Endpoint;
use crate::{Result, fail};

/// One connection, to the proxy or to the bare server.
#[derive(Debug)]
pub(super) struct Client {
    raw: Raw,
}

/// How a driver divides a statement's messages.
#[derive(Clone, Copy)]
enum Style {
    /// Parse, Bind, Describe portal, Execute, Sync: libpq's `PQexecParams`, pgjdbc.
    AtOnce,
    /// Parse, Describe statement, Sync; then Bind, Execute, Sync: tokio-postgres, node-postgres with names.
    InTwo,
}

impl Client {
    /// Connects and names the schema in which statements run.
    pub(super) async fn connect(endpoint: &Endpoint, schema: &str) -> Result<Self> {
        let mut raw = Raw::connect(endpoint, &[("client_encoding", "UTF8"), ("application_name", "corpus")]).await?;
        raw.query(format!("set search_path to {schema}, public").as_bytes()).await?;
        raw.until(b'Z').await?;
        Ok(Self { raw })
    }

    /// Runs one statement and records the answer; a lost connection or silence is an answer too.
    pub(super) async fn run(&mut self, statement: &Statement, protocol: Protocol) -> Answer {
        let mut answer = Answer::default();
        let result = match protocol {
            Protocol::Simple => self.simple(statement, &mut answer).await,
            Protocol::Extended => self.extended(statement, &mut answer).await,
        };
        if let Err(failure) = result {
            answer.end(format!("connection: {failure}"));
        }
        answer
    }

    /// What came unasked since the last answer: notifications.
    pub(super) async fn unasked(&mut self) -> Answer {
        self.say("").await
    }

    /// Runs a text of the harness's own.
    pub(super) async fn say(&mut self, text: &str) -> Answer {
        self.run(&Statement::plain(0, text), Protocol::Simple).await
    }

    /// Runs a text of the harness's own and returns the rows of each statement in it that has some to give.
    ///
    /// # Errors
    /// The server's error, or the connection is lost.
    pub(super) async fn rows(&mut self, text: &str) -> Result<Vec<Vec<Vec<Option<String>>>>> {
        self.raw.query(text.as_bytes()).await?;
        let (mut results, mut error) = (Vec::new(), None);
        while let Some(message) = self.raw.message().await? {
            match message.kind {
                b'T' => results.push(Vec::new()),
                b'D' => results.last_mut().into_iter().for_each(|rows: &mut Vec<_>| rows.push(cells(&message.body))),
                b'E' => error = message.field(b'M'),
                b'Z' => return error.map_or(Ok(results), fail),
                _ => {}
            }
        }
        fail("the connection is closed")
    }

    /// Ends the session in order.
    pub(super) async fn close(mut self) {
        // A connection that is lost has ended as well.
        let _ = self.raw.send(b'X', b"").await;
    }

    async fn simple(&mut self, statement: &Statement, answer: &mut Answer) -> Result<()> {
        self.raw.query(statement.text.as_bytes()).await?;
        self.receive(statement.copy.as_ref(), false, answer).await
    }

    async fn extended(&mut self, statement: &Statement, answer: &mut Answer) -> Result<()> {
        let text = statement.text.trim_end().strip_suffix(';').unwrap_or(&statement.text);
        let copy = statement.copy.as_ref();
        let parse = [b"\0", text.as_bytes(), b"\0\0\0"].concat();
        let bind = bind(statement.parameters.as_deref().unwrap_or_default())?;
        // Both ways over the corpus, and the same one for a line in every run.
        let style = if statement.line.is_multiple_of(2) { Style::AtOnce } else { Style::InTwo };
        match style {
            Style::AtOnce => {
                self.send(&[(b'P', &parse), (b'B', &bind), (b'D', b"P\0"), (b'E', b"\0\0\0\0\0"), (b'S', b"")]).await?;
                self.receive(copy, true, answer).await
            }
            Style::InTwo => {
                self.send(&[(b'P', &parse), (b'D', b"S\0"), (b'S', b"")]).await?;
                self.receive(None, true, answer).await?;
                if answer.failed() || answer.status.is_none() {
                    return Ok(());
                }
                self.send(&[(b'B', &bind), (b'E', b"\0\0\0\0\0"), (b'S', b"")]).await?;
                self.receive(copy, true, answer).await
            }
        }
    }

    /// All in one write, as drivers do.
    async fn send(&mut self, messages: &[(u8, &[u8])]) -> Result<()> {
        let mut bytes = Vec::new();
        for (kind, body) in messages {
            bytes.push(*kind);
            bytes.extend_from_slice(&i32::try_from(body.len() + 4)?.to_be_bytes());
            bytes.extend_from_slice(body);
        }
        self.raw.bytes(&bytes).await
    }

    /// Records up to ReadyForQuery; gives the data when it is asked for.
    async fn receive(&mut self, copy: Option<&CopyData>, sync: bool, answer: &mut Answer) -> Result<()> {
        loop {
            let Some(message) = self.raw.message().await? else {
                answer.end("the connection is closed");
                return Ok(());
            };
            answer.add(&message);
            match message.kind {
                b'Z' => return Ok(()),
                b'G' => self.give(copy, sync).await?,
                _ => {}
            }
        }
    }

    async fn give(&mut self, copy: Option<&CopyData>, sync: bool) -> Result<()> {
        match copy {
            Some(CopyData { bytes, done: true }) => self.send(&[(b'd', bytes), (b'c', b"")]).await?,
            Some(CopyData { bytes, done: false }) => self.send(&[(b'd', bytes), (b'f', b"given up\0")]).await?,
            None => self.send(&[(b'f', b"the corpus has no data\0")]).await?,
        }
        // A Sync that came before the data was passed over.
        if sync { self.send(&[(b'S', b"")]).await } else { Ok(()) }
    }
}

/// The values of a DataRow.
fn cells(body: &[u8]) -> Vec<Option<String>> {
    let (mut rest, mut cells) = (body.get(2..).unwrap_or_default(), Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let value = usize::try_from(i32::from_be_bytes(*length)).ok().and_then(|length| behind.get(..length));
        cells.push(value.map(|value| String::from_utf8_lossy(value).into_owned()));
        rest = behind.get(value.map_or(0, <[u8]>::len)..).unwrap_or_default();
    }
    cells
}

/// The body of Bind: unnamed statement and portal, parameters and results as texts.
fn bind(parameters: &[Option<String>]) -> Result<Vec<u8>> {
    let mut body = b"\0\0\0\0".to_vec();
    body.extend_from_slice(&u16::try_from(parameters.len())?.to_be_bytes());
    for parameter in parameters {
        match parameter {
            None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(text) => {
                body.extend_from_slice(&i32::try_from(text.len())?.to_be_bytes());
                body.extend_from_slice(text.as_bytes());
            }
        }
    }
    body.extend_from_slice(b"\0\0");
    Ok(body)
}
