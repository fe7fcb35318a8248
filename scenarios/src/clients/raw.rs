//! A client made of bytes: says what no driver would say, and sees what no driver shows.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

/// Longest wait for one message.
const LIMIT: Duration = Duration::from_secs(20);
/// Protocol 3.0.
const VERSION: i32 = 196_608;

/// One message from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Type byte.
    pub kind: u8,
    /// What follows the length.
    pub body: Vec<u8>,
}

impl Message {
    /// A field of an ErrorResponse or NoticeResponse, such as `C` (SQLSTATE).
    #[must_use]
    pub fn field(&self, kind: u8) -> Option<String> {
        let mut fields = self.body.split(|byte| *byte == 0);
        let found = fields.find(|field| field.first() == Some(&kind))?;
        Some(String::from_utf8_lossy(&found[1..]).into_owned())
    }
}

/// A connection on which bytes are sent as given.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
}

impl Raw {
    /// Opens the connection and says nothing.
    ///
    /// # Errors
    /// No server.
    pub async fn open(endpoint: &Endpoint) -> Result<Self> {
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Opens the connection and starts up (trust) with more `parameters`; ends behind ReadyForQuery.
    ///
    /// # Errors
    /// The server's error.
    pub async fn connect(endpoint: &Endpoint, parameters: &[(&str, &str)]) -> Result<Self> {
        let mut raw = Self::open(endpoint).await?;
        raw.start_up(endpoint, parameters).await?;
        match raw.until(b'Z').await?.iter().find(|message| message.kind == b'E') {
            None => Ok(raw),
            Some(error) => fail(format!("start-up: {error:?}")),
        }
    }

    /// Sends the start-up packet alone.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn start_up(&mut self, endpoint: &Endpoint, parameters: &[(&str, &str)]) -> Result<()> {
        let mut body = VERSION.to_be_bytes().to_vec();
        let named = [("user", endpoint.user.as_str()), ("database", endpoint.database.as_str())];
        for (name, value) in named.iter().chain(parameters) {
            body.extend_from_slice(name.as_bytes());
            body.push(0);
            body.extend_from_slice(value.as_bytes());
            body.push(0);
        }
        body.push(0);
        let length = i32::try_from(body.len() + 4)?;
        self.bytes(&length.to_be_bytes()).await?;
        self.bytes(&body).await
    }

    /// Sends an SSLRequest or GSSENCRequest and returns the one byte of the answer.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn request_encryption(&mut self, code: i32) -> Result<u8> {
        self.bytes(&8_i32.to_be_bytes()).await?;
        self.bytes(&code.to_be_bytes()).await?;
        Ok(timeout(LIMIT, self.stream.read_u8()).await.map_err(|_| silent())??)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Sends one message.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn send(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        let mut message = vec![kind];
        message.extend_from_slice(&i32::try_from(body.len() + 4)?.to_be_bytes());
        message.extend_from_slice(body);
        self.bytes(&message).await
    }

    /// Sends a Query message; `sql` need not be UTF-8.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn query(&mut self, sql: &[u8]) -> Result<()> {
        self.send(b'Q', &[sql, &[0]].concat()).await
    }

    /// The next message, or `None` if the server closed the connection.
    ///
    /// # Errors
    /// Nothing came within the limit.
    pub async fn message(&mut self) -> Result<Option<Message>> {
        timeout(LIMIT, self.read()).await.map_err(|_| silent())?
    }

    async fn read(&mut self) -> Result<Option<Message>> {
        let mut head = [0; 5];
        // A reset instead of an orderly close is a close as well.
        if self.stream.read_exact(&mut head).await.is_err() {
            return Ok(None);
        }
        let length = i32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut body = vec![0; usize::try_from(length - 4)?];
        if self.stream.read_exact(&mut body).await.is_err() {
            return Ok(None);
        }
        Ok(Some(Message { kind: head[0], body }))
    }

    /// All messages up to and with the next one of this kind.
    ///
    /// # Errors
    /// The connection is closed before, or nothing comes.
    pub async fn until(&mut self, kind: u8) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        while let Some(message) = self.message().await? {
            let last = message.kind == kind;
            messages.push(message);
            if last {
                return Ok(messages);
            }
        }
        fail(format!("the connection was closed before {}: {messages:?}", char::from(kind)))
    }

    /// All messages up to the close of the connection.
    ///
    /// # Errors
    /// It is not closed.
    pub async fn until_closed(&mut self) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        while let Some(message) = self.message().await? {
            messages.push(message);
        }
        Ok(messages)
    }

    /// Reads up to ReadyForQuery without keeping rows; returns how many there were and their bytes.
    ///
    /// # Errors
    /// An ErrorResponse, or the connection is closed.
    pub async fn count_rows(&mut self) -> Result<(u64, u64)> {
        let (mut rows, mut bytes) = (0, 0);
        loop {
            match self.message().await? {
                Some(message) if message.kind == b'D' => {
                    rows += 1;
                    bytes += message.body.len() as u64;
                }
                Some(message) if message.kind == b'Z' => return Ok((rows, bytes)),
                Some(message) if message.kind == b'E' => {
                    return fail(format!("after {rows} rows: {:?}", message.field(b'M')));
                }
                Some(_) => {}
                None => return fail(format!("closed after {rows} rows")),
            }
        }
    }
}

fn silent() -> Failure {
    Failure::new(format!("the server said nothing for {LIMIT:?} and left the connection open"))
}
