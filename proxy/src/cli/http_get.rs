//! One request, made by hand: the admin listener is our own, and an HTTP client crate would be the larger part.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time for the whole exchange. At the limit: an error.
const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(5);

/// Longest answer in bytes. At the limit: an error.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Why nobody answered at `address`, and what to look for.
pub(super) fn no_answer(what: &str, address: &str, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => {
            "; is the proxy running? --admin names its listen.admin"
        }
        _ => "",
    };
    format!("no {what} from {address}: {error}{hint}")
}

/// The body of `GET path`; any status but 200 is an error.
pub(super) async fn get(address: &str, path: &str) -> io::Result<Vec<u8>> {
    let answer = timeout(EXCHANGE_TIME_MAX, exchange(address, path)).await;
    let answer = answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    body(answer)
}

/// Status and text of `POST path`. It may take as long as it takes.
pub(super) async fn post(address: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let head = format!("POST {path} HTTP/1.0\r\nHost: {address}\r\nx-raidb: operator");
    let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let answer = send(address, request).await?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let no_http = || io::Error::other("the answer is not HTTP; is this the admin address?");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(no_http)?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(no_http)?;
    Ok((code, body.to_owned()))
}

async fn exchange(address: &str, path: &str) -> io::Result<Vec<u8>> {
    // HTTP/1.0: the answer is never chunked and ends with the connection.
    send(address, format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: */*\r\n\r\n")).await
}

async fn send(address: &str, request: String) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut answer).await?;
    if u64::try_from(answer.len()).unwrap_or(u64::MAX) > ANSWER_BYTES_MAX {
        return Err(io::Error::other("the answer is too long"));
    }
    Ok(answer)
}

fn body(mut answer: Vec<u8>) -> io::Result<Vec<u8>> {
    let no_http = || io::Error::other("the answer is not HTTP; is this the admin address?");
    let head_bytes = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(no_http)?;
    let head = String::from_utf8_lossy(&answer[..head_bytes]).into_owned();
    let first = head.lines().next().filter(|line| line.starts_with("HTTP/")).ok_or_else(no_http)?;
    if first.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(format!("the answer is {first}")));
    }
    answer.drain(..head_bytes + 4);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_answers_apart() {
        let text = |answer: &str| body(answer.as_bytes().to_vec()).map_err(|error| error.to_string());
        assert_eq!(text("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}").unwrap(), b"{}");
        assert!(text("HTTP/1.0 404 Not Found\r\n\r\n").unwrap_err().contains("404"));
        assert!(text("R\0\0\0\x08").unwrap_err().contains("not HTTP"));
        assert!(text("nonsense\r\n\r\n").unwrap_err().contains("not HTTP"));
    }
}
