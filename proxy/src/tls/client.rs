//! TLS towards a member.
//!
//! | `sslmode` | `sslrootcert` | verified |
//! |---|---|---|
//! | `disable` | | no TLS |
//! | `prefer`, `require` | none | nothing, as with libpq: it keeps listeners out, not impostors |
//! | `prefer`, `require` | given | the chain |
//! | `verify-full` | given | chain and host name |

use std::path::Path;
use std::sync::Arc;

use raidb_core::config::{MemberUrl, SslMode};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::TlsError;
use super::no_host_name::{AnyCertificate, AnyHostName};

/// How to encrypt the connection to a member; `None` for `sslmode=disable` and Unix sockets' plain text.
///
/// # Errors
/// [`TlsError`]: `sslrootcert` cannot be used.
pub fn client_config(url: &MemberUrl) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    if url.sslmode == SslMode::Disable {
        return Ok(None);
    }
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match &url.sslrootcert {
        None => Arc::new(AnyCertificate(Arc::clone(&provider))),
        Some(file) => {
            let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(file)?), Arc::clone(&provider));
            let chain = chain.build().map_err(|error| TlsError::Roots(error.to_string()))?;
            if url.sslmode == SslMode::VerifyFull { chain } else { Arc::new(AnyHostName(chain)) }
        }
    };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(Some(Arc::new(config)))
}

fn roots(file: &Path) -> Result<RootCertStore, TlsError> {
    let failed = |problem: String| TlsError::file(file, problem);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| failed(error.to_string()))? {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() { Err(failed("holds no certificate".into())) } else { Ok(roots) }
}
