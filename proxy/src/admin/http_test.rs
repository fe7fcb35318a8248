//! The routes over a real listener on a free port.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::{MemberAction, MemberStatus, Operations, Status, StatusSource, VirtualDatabaseStatus, serve};

/// One virtual database with one member, which can be switched off.
#[derive(Default)]
struct Fake {
    disabled: AtomicBool,
}

impl StatusSource for Fake {
    fn status(&self) -> Status {
        let state = if self.disabled.load(Ordering::Relaxed) { "disabled" } else { "enabled" };
        let member = MemberStatus { name: "pg1".into(), state: state.into(), ..MemberStatus::default() };
        let database =
            VirtualDatabaseStatus { name: "bench".into(), members: vec![member], ..VirtualDatabaseStatus::default() };
        Status { version: "1".into(), clients: 2, virtual_databases: vec![database] }
    }
}

impl Operations for Fake {
    fn act(
        &self,
        database: String,
        member: String,
        action: MemberAction,
    ) -> futures::future::BoxFuture<'static, Result<String, String>> {
        Box::pin(async move {
            if member == "pg1" { Ok(format!("{database} {action:?}")) } else { Err(format!("no member {member}")) }
        })
    }
}

async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: raidb\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn post(address: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {path} HTTP/1.0\r\nHost: raidb\r\nx-raidb: operator\r\nContent-Length: {}", body.len());
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn answers_and_stops() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let source = Arc::new(Fake::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move { drop(stopped.await) };
    let server = tokio::spawn(serve(listener, source.clone(), source.clone(), shutdown));

    let status = get(&address, "/status").await;
    assert!(status.starts_with("HTTP/1.0 200"), "{status}");
    let (_, body) = status.split_once("\r\n\r\n").unwrap();
    assert_eq!(serde_json::from_str::<Status>(body).unwrap(), source.status());
    assert!(get(&address, "/metrics").await.contains("\nraidb_clients 2\n"));
    assert!(get(&address, "/health/live").await.starts_with("HTTP/1.0 200"));
    assert!(get(&address, "/health/ready").await.starts_with("HTTP/1.0 200"));
    assert!(get(&address, "/").await.starts_with("HTTP/1.0 404"));

    let body = r#"{"url":"postgresql://u:hunter2@h/d","weight":3,"base_dir":"/etc"}"#;
    let added = post(&address, "/members/bench/pg1/add", body).await;
    assert!(added.starts_with("HTTP/1.0 200") && added.contains("weight: 3"), "{added}");
    assert!(!added.contains("hunter2"), "{added}");
    assert!(post(&address, "/members/bench/pg1/add", "{}").await.starts_with("HTTP/1.0 400"));
    assert!(post(&address, "/members/bench/pg2/disable", "").await.starts_with("HTTP/1.0 409"));

    source.disabled.store(true, Ordering::Relaxed);
    let ready = get(&address, "/health/ready").await;
    assert!(ready.starts_with("HTTP/1.0 503") && ready.contains("bench"), "{ready}");
    assert!(get(&address, "/health/live").await.starts_with("HTTP/1.0 200"));

    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(&address).await.is_err());
}
