//! The few bytes of HTTP that reading the proxy's admin pages takes.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{Failure, Result, fail};

/// Longest wait for a page.
const LIMIT: Duration = Duration::from_secs(5);

/// Body of `GET path`; any status but 200 is a failure. HTTP/1.0, so the answer is never chunked.
pub(super) async fn get(address: &str, path: &str) -> Result<String> {
    let head = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    let page = timeout(LIMIT, exchange(address, &head)).await;
    let page = page.map_err(|_| Failure::new(format!("http://{address}{path}: no answer within {LIMIT:?}")))??;
    let (head, body) = page.split_once("\r\n\r\n").unwrap_or((&page, ""));
    if head.split_whitespace().nth(1) != Some("200") {
        return fail(format!("http://{address}{path}: {}", head.lines().next().unwrap_or_default()));
    }
    Ok(body.to_owned())
}

/// Text of `POST path` as an operator; any status but 200 is a failure with that text.
pub(super) async fn post(address: &str, path: &str, limit: Duration) -> Result<String> {
    let head = format!("POST {path} HTTP/1.0\r\nHost: {address}\r\nx-raidb: operator\r\nContent-Length: 0\r\n\r\n");
    let page = timeout(limit, exchange(address, &head)).await;
    let page = page.map_err(|_| Failure::new(format!("http://{address}{path}: no answer within {limit:?}")))??;
    let (head, body) = page.split_once("\r\n\r\n").unwrap_or((&page, ""));
    if head.split_whitespace().nth(1) != Some("200") {
        return fail(format!("http://{address}{path}: {}: {body}", head.lines().next().unwrap_or_default()));
    }
    Ok(body.to_owned())
}

async fn exchange(address: &str, head: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(head.as_bytes()).await?;
    let mut page = Vec::new();
    stream.read_to_end(&mut page).await?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
