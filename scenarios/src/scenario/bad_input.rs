//! Bytes that no client should send: each gets a PostgreSQL error or a closed connection, nobody else notices.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_postgres::NoTls;

use super::ending;
use crate::clients::Raw;
use crate::cluster::{Cluster, ClusterOptions};
use crate::sql::Endpoint;
use crate::workloads::Bystander;
use crate::{Failure, Options, Result, Summary, fail};

/// Limits that the proxy (or, in a bare run, the server) is given.
const CLIENTS_MAX: usize = 40;
const STARTUP_LIMIT: Duration = Duration::from_secs(1);
const SSL_REQUEST: i32 = 80_877_103;
const GSSENC_REQUEST: i32 = 80_877_104;
/// What clients ask for before they start up.
const REQUESTS: &[&[i32]] = &[&[SSL_REQUEST], &[GSSENC_REQUEST], &[GSSENC_REQUEST, SSL_REQUEST]];

pub(super) async fn run(options: Options) -> Result<Summary> {
    let mut setup = ClusterOptions {
        listen: vec![format!("max_clients = {CLIENTS_MAX}"), "startup_timeout = \"1s\"".to_owned()],
        ..ClusterOptions::default()
    };
    if options.bare {
        setup.member_settings =
            vec![format!("max_connections = {CLIENTS_MAX}"), "authentication_timeout = '1s'".to_owned()];
    }
    let cluster = Cluster::start(&options, setup).await?;
    let endpoint = cluster.endpoint();
    let bystander = Bystander::start(&endpoint).await?;
    let garbage = garbage(&endpoint, options.seed).await.map_err(|e| e.during("garbage"))?;
    // A bare server says yes to GSSENC.
    let requests = if options.bare { &REQUESTS[..1] } else { REQUESTS };
    encryption_requests(&endpoint, requests).await.map_err(|e| e.during("encryption requests"))?;
    start_up(&endpoint, options.bare).await.map_err(|e| e.during("start-up"))?;
    broken_messages(&endpoint, &options).await.map_err(|e| e.during("broken messages"))?;
    vanishing(&endpoint).await.map_err(|e| e.during("vanishing clients"))?;
    let refused = flood(&endpoint).await.map_err(|e| e.during("flood"))?;
    let (rounds, longest) = bystander.stop().await?;
    if let Some(proxy) = &cluster.proxy {
        let panics = proxy.panics()?;
        if !panics.is_empty() {
            return fail(format!("the proxy panicked: {panics:?}"));
        }
    }
    ending(&cluster).await?;
    Ok(Summary::default()
        .with("garbage", garbage)
        .with("flood_refused", refused)
        .with("bystander_rounds", rounds)
        .with("bystander_longest_ms", longest.as_millis()))
}

/// Random first bytes: the connection must end, with or without an error.
async fn garbage(endpoint: &Endpoint, seed: u64) -> Result<usize> {
    let mut chance = StdRng::seed_from_u64(seed);
    let count = 60;
    for _ in 0..count {
        let mut bytes = vec![0_u8; chance.random_range(1..400)];
        chance.fill(bytes.as_mut_slice());
        let mut raw = Raw::open(endpoint).await?;
        raw.bytes(&bytes).await?;
        // A reset in answer to the second piece is as good as a close.
        let _ = raw.bytes(b"GET / HTTP/1.1\r\n\r\n").await;
        raw.until_closed().await?;
    }
    Ok(count)
}

async fn encryption_requests(endpoint: &Endpoint, requests: &[&[i32]]) -> Result<()> {
    for codes in requests {
        let mut raw = Raw::open(endpoint).await?;
        for code in *codes {
            let answer = raw.request_encryption(*code).await?;
            if answer != b'N' {
                return fail(format!("request {code} was answered by {answer}"));
            }
        }
        raw.start_up(endpoint, &[]).await?;
        raw.until(b'Z').await?;
    }
    Ok(())
}

async fn start_up(endpoint: &Endpoint, bare: bool) -> Result<()> {
    let stranger = Endpoint { user: "nobody_at_all".to_owned(), ..endpoint.clone() };
    let mut wrong = vec![(endpoint.database("nowhere"), "3D000")];
    if bare {
        // The proxy trusts every name where no user is configured; `tls_scram` has the case with users.
        wrong.push((stranger, "28000"));
    }
    for (endpoint, code) in wrong {
        let told = endpoint.config().connect(NoTls).await.err();
        let given = told.as_ref().and_then(|error| error.code()).map(|code| code.code().to_owned());
        if given.as_deref() != Some(code) {
            return fail(format!("{} was answered by {given:?} and not by {code}", endpoint.url()));
        }
    }
    // Half a start-up packet, and none at all: the time limit ends both.
    for bytes in [b"\0\0\0\x50\0\x03\0\0user".as_slice(), b""] {
        let start = Instant::now();
        let mut raw = Raw::open(endpoint).await?;
        raw.bytes(bytes).await?;
        raw.until_closed().await?;
        if start.elapsed() > STARTUP_LIMIT * 5 {
            return fail(format!("a start-up that never ends was ended after {:?}", start.elapsed()));
        }
    }
    // A protocol that does not exist yet is answered in words.
    let mut raw = Raw::open(endpoint).await?;
    raw.bytes(b"\0\0\0\x0a\0\x09\0\0\0\0").await?;
    let answers = raw.until_closed().await?;
    if answers.first().map(|message| message.kind) != Some(b'E') {
        return fail(format!("protocol 9.0 was answered by {answers:?}"));
    }
    Ok(())
}

/// Messages that are wrong behind a right start-up: an error each; where the stream cannot be trusted any more, a close.
async fn broken_messages(endpoint: &Endpoint, options: &Options) -> Result<()> {
    let fatal: &[(&str, &[u8])] = &[
        ("unknown type", b"y\0\0\0\x04"),
        ("length below 4", b"Q\0\0\0\x02"),
        ("negative length", b"Q\xff\xff\xff\xff"),
        ("2 GB query", b"Q\x7f\xff\xff\xff"),
        ("zero type", b"\0\0\0\0\x04"),
    ];
    for (name, bytes) in fatal {
        let mut raw = Raw::connect(endpoint, &[]).await?;
        raw.bytes(bytes).await?;
        let answers = raw.until_closed().await.map_err(|e| e.during(name))?;
        if options.bare && answers.is_empty() {
            // PostgreSQL itself says some of this to its log only.
            continue;
        }
        expect_error(name, answers.iter().find(|message| message.kind == b'E'), &["08P01", "54000", "53200"])?;
    }
    let recoverable: &[(&str, u8, &[u8])] = &[
        ("Bind cut short", b'B', b"\0\0\0\x05"),
        ("Bind with too many parameters", b'B', b"\0\0\0\0\x7f\xff"),
        ("Bind of an unknown statement", b'B', b"\0nowhere\0\0\0\0\0\0\0"),
        ("Parse without terminator", b'P', b"\0select 1"),
        ("Describe of an unknown kind", b'D', b"Xname\0"),
        ("Execute of an unknown portal", b'E', b"nowhere\0\0\0\0\0"),
        ("Close of an unknown kind", b'C', b"Xname\0"),
    ];
    for (name, kind, body) in recoverable {
        let mut raw = Raw::connect(endpoint, &[]).await?;
        raw.send(*kind, body).await?;
        raw.send(b'S', b"").await?;
        let mut answers = Vec::new();
        while let Some(message) = raw.message().await.map_err(|e| e.during(name))? {
            let end = message.kind == b'Z';
            answers.push(message);
            if end {
                break;
            }
        }
        let error = answers.iter().find(|message| message.kind == b'E');
        expect_error(name, error, &["08P01", "26000", "34000", "22021"])?;
        // PostgreSQL itself goes on behind each of these; closing is allowed where it is said (FATAL) and where the
        // message, not what it names, is wrong.
        let fatal = error.and_then(|error| error.field(b'V')).as_deref() == Some("FATAL");
        if fatal && !name.contains("unknown statement") && !name.contains("unknown portal") {
            continue;
        }
        raw.query(b"select 1").await.map_err(|e| e.during(format!("query behind {name}")))?;
        raw.until(b'Z').await.map_err(|e| e.during(format!("query behind {name}")))?;
    }
    // Random bodies of every message type: any answer, but an answer or a close.
    let mut chance = StdRng::seed_from_u64(options.seed);
    for kind in b"BCDEFHPQSdcfpX" {
        let mut body = vec![0_u8; chance.random_range(0..60)];
        chance.fill(body.as_mut_slice());
        let mut raw = Raw::connect(endpoint, &[]).await?;
        raw.send(*kind, &body).await?;
        if raw.send(b'S', b"").await.is_ok() && raw.query(b"select 1").await.is_ok() {
            let name = format!("random {}", char::from(*kind));
            while raw.message().await.map_err(|e| e.during(&name))?.is_some_and(|message| message.kind != b'Z') {}
        }
    }
    Ok(())
}

fn expect_error(name: &str, message: Option<&crate::clients::Message>, codes: &[&str]) -> Result<()> {
    let code = message.and_then(|message| message.field(b'C'));
    if code.as_ref().is_some_and(|code| codes.contains(&code.as_str())) {
        return Ok(());
    }
    fail(format!("{name}: expected one of {codes:?}, got {message:?} ({code:?})"))
}

/// Clients that go away in the middle of everything.
async fn vanishing(endpoint: &Endpoint) -> Result<()> {
    endpoint.execute("create table vanish(i int primary key)").await?;
    for part in 0..4 {
        let mut raw = Raw::connect(endpoint, &[]).await?;
        match part {
            0 => raw.query(b"begin; insert into vanish values (1)").await?,
            1 => raw.query(b"copy vanish from stdin").await?,
            2 => raw.query(b"select repeat('x', 100000) from generate_series(1, 1000)").await?,
            _ => raw.bytes(b"Q\0\0\x10\0insert into vanish").await?,
        }
        // Part of the answer, so that it is under way.
        if part < 3 {
            raw.message().await?;
        }
    }
    let insert = tokio::time::timeout(Duration::from_secs(5), endpoint.execute("insert into vanish values (1)")).await;
    insert.map_err(|_| Failure::new("a transaction of a client that has gone still holds its lock"))?
}

/// More clients than allowed: 53300 for those above, and room again when they have gone.
async fn flood(endpoint: &Endpoint) -> Result<usize> {
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..CLIENTS_MAX * 2 {
        match endpoint.config().connect(NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                open.push(client);
            }
            Err(error) if error.code().is_some_and(|code| code.code() == "53300") => refused += 1,
            Err(error) => return Err(error.into()),
        }
    }
    if refused == 0 || open.len() > CLIENTS_MAX {
        return fail(format!("{} clients let in, {refused} refused, {CLIENTS_MAX} allowed", open.len()));
    }
    drop(open);
    let deadline = Instant::now() + Duration::from_secs(5);
    while endpoint.connect().await.is_err() {
        if Instant::now() > deadline {
            return fail("no room although the flood has gone");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(refused)
}
