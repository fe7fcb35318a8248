//! TLS towards clients.

use std::sync::Arc;

use raidb_core::config::TlsFiles;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

/// Reads certificate chain and key of `[listen]`.
///
/// # Errors
/// [`TlsError`]: a file cannot be read, or key and certificate do not belong together.
pub fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let cert_failed = |error: rustls::pki_types::pem::Error| TlsError::file(&files.cert, error);
    let chain = CertificateDer::pem_file_iter(&files.cert).map_err(cert_failed)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(cert_failed)?;
    if chain.is_empty() {
        return Err(TlsError::file(&files.cert, "holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::file(&files.key, error))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key)?))
}
