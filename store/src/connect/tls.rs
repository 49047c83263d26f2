//! TLS to the server, by rustls.
//!
//! The driver decides only whether to use TLS. This module decides how to authenticate the server: for `verify-full` by
//! the usual certificate and name checks, for `prefer` and `require` not at all, as in libpq.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::options::{ConnectOptions, SslMode};
use crate::error::StoreError;

/// The connector for these options.
pub(super) fn connector(options: &ConnectOptions) -> Result<MakeRustlsConnect, StoreError> {
    tls_config(options.ssl_mode(), options.ssl_root_cert()).map(MakeRustlsConnect::new)
}

/// TLS settings for a connection to PostgreSQL. `root_cert` is a PEM file with the authorities that `verify-full` trusts;
/// without one, those of the system. The provider is passed explicitly: the process may have chosen none yet.
///
/// # Errors
/// When the authorities cannot be read, or there are none.
pub fn tls_config(mode: SslMode, root_cert: Option<&Path>) -> Result<ClientConfig, StoreError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::other(format!("TLS cannot be set up: {error}")))?;
    Ok(if mode == SslMode::VerifyFull {
        let roots = match root_cert {
            Some(path) => roots_of_file(path)?,
            None => roots_of_system()?,
        };
        builder.with_root_certificates(roots).with_no_client_auth()
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate { provider }))
            .with_no_client_auth()
    })
}

fn roots_of_file(path: &Path) -> Result<RootCertStore, StoreError> {
    let unusable = |why: String| StoreError::other(format!("sslrootcert {} cannot be used: {why}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no PEM certificate".to_owned()));
    }
    Ok(roots)
}

fn roots_of_system() -> Result<RootCertStore, StoreError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(StoreError::other(
            "sslmode=verify-full needs certificate authorities and the system has none: \
             install ca-certificates or name a file with sslrootcert",
        ));
    }
    Ok(roots)
}

/// Accepts any certificate, but checks that the handshake was signed with it.
#[derive(Debug)]
struct AcceptAnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAnyCertificate {
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
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
