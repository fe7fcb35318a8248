//! Who a client is: trusted, or SCRAM-SHA-256 against the configured password.

use std::future::poll_fn;

use bytes::Bytes;
use pgwire::api::auth::sasl::scram::{ScramSecret, ScramServerAuth, gen_salted_password};
use raidb_core::config::User;

use crate::session::trouble::SqlError;
use crate::wire::{Channel, WireError, encode};

/// PostgreSQL's default.
const ITERATIONS: usize = 4096;

/// Why a client is not let in.
#[derive(Debug)]
pub enum AuthenticationFailed {
    /// It left.
    Wire(WireError),
    /// It is told.
    Refused(SqlError),
}

impl From<WireError> for AuthenticationFailed {
    fn from(error: WireError) -> Self {
        AuthenticationFailed::Wire(error)
    }
}

/// Asks for the password of `name`. A name that does not exist is asked too, and refused with the same words.
///
/// # Errors
/// [`AuthenticationFailed`].
pub async fn scram(channel: &mut Channel, name: &str, users: &[User]) -> Result<Option<User>, AuthenticationFailed> {
    let user = users.iter().find(|u| u.name == name);
    let refused = || {
        AuthenticationFailed::Refused(SqlError::new(
            "28P01",
            format!("password authentication failed for user \"{name}\""),
            "Check user and password; users are configured in raidb.toml.",
        ))
    };
    let malformed = |what: &str| {
        AuthenticationFailed::Refused(SqlError::new(
            "08P01",
            format!("malformed SASL message: {what}"),
            "Use a driver that supports SCRAM-SHA-256.",
        ))
    };

    encode::authentication(channel.out(), 10, b"SCRAM-SHA-256\0\0");
    let first = response(channel).await?;
    let initial = initial_response(&first).ok_or_else(|| malformed("initial response"))?;
    let salt = rand_salt();
    // Also computed for an unknown name, so that the answer takes as long.
    let password = user.map_or("", |u| u.password.expose());
    let salted = gen_salted_password(password, &salt, ITERATIONS);
    let secret = ScramSecret::verifier_from_salted_password(salt, salted, ITERATIONS);
    let (challenge, waiting) = ScramServerAuth::new()
        .on_client_first_message_with_secret(initial, secret)
        .map_err(|e| malformed(&e.to_string()))?;
    encode::authentication(channel.out(), 11, challenge.as_bytes());
    let last = response(channel).await?;
    let proof = waiting.on_client_final_message(last.get(5..).unwrap_or(&[])).map_err(|_| refused())?;
    let user = user.ok_or_else(refused)?;
    encode::authentication(channel.out(), 12, proof.as_bytes());
    Ok(Some(user.clone()))
}

async fn response(channel: &mut Channel) -> Result<Bytes, AuthenticationFailed> {
    poll_fn(|cx| channel.poll_flush(cx)).await?;
    let head = poll_fn(|cx| channel.poll_frame(cx, &[])).await?;
    let frame = channel.take(head);
    if frame[0] != b'p' {
        return Err(AuthenticationFailed::Refused(SqlError::new(
            "08P01",
            "expected a password message",
            "Use a driver that supports SCRAM-SHA-256.",
        )));
    }
    Ok(frame)
}

/// The mechanism must be the one offered; then length and message.
fn initial_response(frame: &Bytes) -> Option<&[u8]> {
    let body = frame.get(5..)?;
    let end = body.iter().position(|b| *b == 0)?;
    if &body[..end] != b"SCRAM-SHA-256" {
        return None;
    }
    body.get(end + 5..)
}

fn rand_salt() -> Vec<u8> {
    let mut salt = Vec::with_capacity(16);
    while salt.len() < 16 {
        // The nonce generator of pgwire: printable random characters are as good a salt as bytes.
        salt.extend_from_slice(pgwire::api::auth::sasl::scram::random_nonce().as_bytes());
    }
    salt.truncate(16);
    salt
}
