//! Whose certificates are good.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};

use crate::error::{Error, Result};
use crate::settings::{Endpoint, Settings};

/// The client's side of TLS for an endpoint and for where it points. Reads files.
///
/// # Errors
/// When a certificate file cannot be read or holds none (Docker, "Understand the configuration" of `certs.d`).
pub fn config(settings: &Settings, endpoint: &Endpoint) -> Result<Arc<ClientConfig>> {
    let invalid = |error: TlsError| Error::Invalid(format!("TLS: {error}"));
    if !endpoint.verify {
        return client(None, None).map_err(invalid);
    }
    let mut roots = RootCertStore::empty();
    if let Some(bundle) = settings.ca_bundles.iter().find(|path| path.exists()) {
        add(&mut roots, bundle)?;
    }
    let directory = settings.certificates.join(&endpoint.authority);
    let mut pair = None;
    for path in entries(&directory)? {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => add(&mut roots, &path)?,
            Some("cert") => pair = Some(client_pair(&path)?),
            _ => {}
        }
    }
    if roots.is_empty() {
        let paths: Vec<_> = settings
            .ca_bundles
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        return Err(Error::Invalid(format!(
            "no certificate authorities for {}: none of {} exists, and {} has none",
            endpoint.authority,
            paths.join(", "),
            directory.display()
        )));
    }
    client(Some(roots), pair).map_err(invalid)
}

/// The client's side of TLS with certificate authorities (without them, any certificate is good), and the certificate that it shows,
/// if it has one.
///
/// # Errors
/// When there is no authority, or the key is not that of the certificate.
pub fn client(
    roots: Option<RootCertStore>,
    pair: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> std::result::Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match roots {
        Some(roots) => {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = verifier
                .build()
                .map_err(|error| TlsError::General(format!("certificate authorities: {error}")))?;
            builder.with_webpki_verifier(verifier)
        }
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unchecked(provider))),
    };
    Ok(Arc::new(match pair {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    }))
}

/// In the order of their names; a directory that is not there has none.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut paths = fs::read_dir(directory)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    };
    match read() {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        other => other.map_err(Error::file(format!("read {}", directory.display()))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(Error::file(format!("read {}", path.display())))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<()> {
    // Bundles hold old certificates that nothing understands any more.
    roots.add_parsable_certificates(certificates(path)?);
    Ok(())
}

fn client_pair(path: &Path) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let key = path.with_extension("key");
    if !key.exists() {
        return Err(Error::Invalid(format!(
            "missing key {} for client certificate {}. CA certificates must use the extension .crt",
            key.file_name().unwrap_or_default().display(),
            path.file_name().unwrap_or_default().display()
        )));
    }
    let secret = PrivateKeyDer::from_pem_slice(&read(&key)?)
        .map_err(|error| Error::Invalid(format!("{}: {error}", key.display())))?;
    Ok((certificates(path)?, secret))
}

/// Why a handshake failed, in Docker's words where it has some.
pub fn reason(error: &io::Error) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TlsError>());
    let certificate = |text: &str| format!("tls: failed to verify certificate: x509: {text}");
    match inner {
        Some(TlsError::InvalidMessage(_)) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        Some(TlsError::InvalidCertificate(problem)) => match problem {
            CertificateError::UnknownIssuer => {
                certificate("certificate signed by unknown authority")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                certificate("certificate has expired or is not yet valid")
            }
            other => certificate(&other.to_string()),
        },
        Some(other) => format!("tls: {other}"),
        None => crate::connection::io_reason(error),
    }
}

/// Takes any certificate.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
