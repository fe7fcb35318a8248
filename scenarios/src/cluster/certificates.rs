//! Certificates of a run: one authority, one server certificate for `localhost` and 127.0.0.1, valid for two days.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, fail};

/// Files that members, proxy and clients share.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority's certificate, for those who verify.
    pub authority: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The server's key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes them in `folder` by the openssl program.
    ///
    /// # Errors
    /// openssl is missing or complains.
    pub fn make(folder: &Path) -> Result<Self> {
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let authority =
            ["req", "-x509", "-days", "2", "-subj", "/CN=scenario authority", "-keyout", "ca.key", "-out", "ca.crt"];
        openssl(folder, &[authority.as_slice(), &key].concat())?;
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
        let request =
            ["req", "-subj", "/CN=localhost", "-addext", names, "-keyout", "server.key", "-out", "server.csr"];
        openssl(folder, &[request.as_slice(), &key].concat())?;
        let sign = ["x509", "-req", "-days", "2", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key"];
        let out = ["-CAcreateserial", "-copy_extensions", "copyall", "-out", "server.crt"];
        openssl(folder, &[sign.as_slice(), &out].concat())?;
        let file = |name: &str| folder.join(name);
        Ok(Self { authority: file("ca.crt"), certificate: file("server.crt"), key: file("server.key") })
    }
}

fn openssl(folder: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output()?;
    if output.status.success() {
        return Ok(());
    }
    fail(format!("openssl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
}
