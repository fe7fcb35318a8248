//! TLS towards the endpoint, as the URL asks for it.
//!
//! | `sslmode` | `sslrootcert` | verified |
//! |---|---|---|
//! | `disable` | | no TLS |
//! | `prefer` (default), `require` | none | nothing, as with libpq: it keeps listeners out, not impostors |
//! | any but `disable` | given | the chain, and the host's name; never plain text |
//! | `verify-ca`, `verify-full` | none | refused: there is nothing to verify against |

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Cause, Error};

/// A URL as the driver takes it, and how to encrypt.
pub(crate) fn read(url: &str) -> Result<(Config, MakeRustlsConnect), Error> {
    let Asked { url, roots, verify } = take_out(url);
    let mut config: Config = url.parse().map_err(|error| Error::new(Cause::Url(error)))?;
    if roots.is_some() && config.get_ssl_mode() == SslMode::Prefer {
        // Who has something to verify against wants no plain text, whatever the other side answers.
        config.ssl_mode(SslMode::Require);
    }
    if verify && roots.is_none() {
        return Err(Error::input("the URL of the store has sslmode=verify-… without sslrootcert=FILE"));
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::input(format!("TLS cannot be used: {error}")))?;
    let tls = match roots {
        Some(file) => builder.with_root_certificates(read_roots(Path::new(&file))?),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
    };
    Ok((config, MakeRustlsConnect::new(tls.with_no_client_auth())))
}

/// What the driver does not know of a URL.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    /// The rest.
    url: String,
    roots: Option<String>,
    verify: bool,
}

/// Takes `sslrootcert` out, and makes the modes that verify one that encrypts.
fn take_out(url: &str) -> Asked {
    let mut asked = Asked { url: String::new(), roots: None, verify: false };
    let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    let (place, parameters, between) = match url.split_once('?') {
        Some((place, query)) if is_url => (Some(place), query.split('&').collect::<Vec<_>>(), "&"),
        None if is_url => (Some(url), Vec::new(), "&"),
        // With a quoted value this may cut in the wrong place, where nothing of ours is then found.
        _ => (None, url.split_ascii_whitespace().collect(), " "),
    };
    let mut kept = Vec::new();
    for parameter in &parameters {
        match parameter.split_once('=') {
            Some(("sslrootcert", file)) => asked.roots = Some(if is_url { decoded(file) } else { file.to_owned() }),
            Some(("sslmode", "verify-ca" | "verify-full")) => {
                asked.verify = true;
                kept.push("sslmode=require");
            }
            _ => kept.push(parameter),
        }
    }
    asked.url = match place {
        Some(place) if kept.is_empty() => place.to_owned(),
        Some(place) => format!("{place}?{}", kept.join(between)),
        None if asked.roots.is_none() && !asked.verify => url.to_owned(),
        None => kept.join(between),
    };
    asked
}

/// `%2F` and the like.
fn decoded(value: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), value.as_bytes());
    while let [first, more @ ..] = rest {
        let code = if *first == b'%' { more.get(..2).and_then(|code| std::str::from_utf8(code).ok()) } else { None };
        let (byte, after) = match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => (byte, &more[2..]),
            None => (*first, more),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn read_roots(file: &Path) -> Result<RootCertStore, Error> {
    let failed = |problem: String| Error::input(format!("sslrootcert {}: {problem}", file.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| failed(error.to_string()))? {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() { Err(failed("holds no certificate".to_owned())) } else { Ok(roots) }
}

/// Accepts every certificate; the server must still hold its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_does_not_know_is_taken_out() {
        for (url, rest, roots, verify) in [
            ("postgresql://a@h/d", "postgresql://a@h/d", None, false),
            ("postgresql://a@h/d?sslmode=require", "postgresql://a@h/d?sslmode=require", None, false),
            ("postgres://h?sslrootcert=%2Fr%20x.pem", "postgres://h", Some("/r x.pem"), false),
            (
                "postgres://h/d?options=-ca&sslmode=verify-full&sslrootcert=/r.pem&x=y",
                "postgres://h/d?options=-ca&sslmode=require&x=y",
                Some("/r.pem"),
                true,
            ),
            ("host=a  user='x y'", "host=a  user='x y'", None, false),
            ("host=a sslmode=verify-ca sslrootcert=/r", "host=a sslmode=require", Some("/r"), true),
        ] {
            let asked = Asked { url: rest.to_owned(), roots: roots.map(str::to_owned), verify };
            assert_eq!(take_out(url), asked, "{url}");
        }
    }

    #[test]
    fn what_cannot_be_verified_is_refused() {
        let refused = |url: &str| read(url).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused("postgres://h/d?sslmode=verify-full").contains("without sslrootcert"));
        assert!(refused("postgres://h/d?sslrootcert=/none.pem").contains("sslrootcert /none.pem"));
        assert!(refused("postgres://h/d?sslmode=often").contains("allowed"));
    }
}
