//! TLS to a mail server, and the trusted certificates.

use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

use p256::ecdsa::{DerSignature, VerifyingKey, signature::hazmat::PrehashVerifier as _};
use serde::Deserialize;
use sha2::{Digest as _, Sha512};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms, ring},
        pki_types::{
            AlgorithmIdentifier, CertificateDer, InvalidSignature, ServerName, SignatureVerificationAlgorithm,
            UnixTime, alg_id, pem::PemObject as _,
        },
    },
};

/// Whether a mail server on another machine must use TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// No mail is sent without TLS.
    Required,
    /// TLS if the server offers it. An attacker on the network can hide the offer.
    Opportunistic,
    /// No TLS.
    None,
}

/// Reads the certificates in a PEM file.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err("it contains no PEM certificate".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(cause) => Err(cause.to_string()),
    }
}

/// Creates a connector that trusts the system's certificates and the `given` ones.
///
/// # Errors
/// If the system's certificates can't be used.
pub fn connector(given: Vec<CertificateDer<'static>>) -> Result<TlsConnector, String> {
    let mut provider = ring::default_provider();
    provider.signature_verification_algorithms =
        WebPkiSupportedAlgorithms { all: &ALGORITHMS, ..provider.signature_verification_algorithms };
    let provider = Arc::new(provider);
    let verifier = Verifier::new(given, &provider)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| cause.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Accepts a server certificate that is identical to a configured one, and runs rustls' verification for all others.
///
/// rustls would reject a self-signed one, because `openssl req -x509` creates a CA certificate, which no server may
/// use. An identical certificate is already known completely, so its name and dates are not checked.
#[derive(Debug)]
struct Verifier {
    given: Vec<CertificateDer<'static>>,
    /// `None` if no CA is trusted.
    chains: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(given: Vec<CertificateDer<'static>>, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.add_parsable_certificates(given.iter().cloned());
        let chains = if roots.is_empty() {
            None
        } else {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
            Some(verifier.map_err(|cause| cause.to_string())?)
        };
        Ok(Self { given, chains, algorithms: provider.signature_verification_algorithms })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.given.iter().any(|given| given == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let chains = self.chains.as_ref().ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Ring's algorithms, and one that it lacks and that private CAs use.
static ALGORITHMS: LazyLock<Vec<&'static dyn SignatureVerificationAlgorithm>> = LazyLock::new(|| {
    let extra: &'static dyn SignatureVerificationAlgorithm = &P256Sha512;
    ring::default_provider().signature_verification_algorithms.all.iter().copied().chain([extra]).collect()
});

/// ECDSA on P-256 with SHA-512. The hash is truncated to the curve's size (FIPS 186-5, section 6.4).
#[derive(Debug)]
struct P256Sha512;

impl SignatureVerificationAlgorithm for P256Sha512 {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = DerSignature::try_from(signature).map_err(|_| InvalidSignature)?;
        key.verify_prehash(&Sha512::digest(message), &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA512
    }
}
