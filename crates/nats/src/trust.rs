//! Which servers are believed to be who they should be.

use std::io;
use std::sync::Arc;

use async_nats::ServerAddr;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::connect::Options;
use crate::error::Error;

/// `None` where the client's own way will do: the authorities of the system, and the address that is dialled.
///
/// # Errors
/// `Configuration`.
pub fn config(options: &Options) -> Result<Option<ClientConfig>, Error> {
    // Who speaks no TLS needs no authorities, which many an image has not.
    let wants_tls = options.ca.is_some() || options.servers.iter().any(|server| server.starts_with("tls://"));
    let has_names = wants_tls && !options.servers.is_empty();
    let roots = match &options.ca {
        Some(ca) => roots_of(ca)?,
        None if !has_names => return Ok(None),
        None => roots_of_the_system()?,
    };
    let bad = |error: &dyn std::fmt::Display| Error::Configuration(format!("TLS: {error}"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let config = config.map_err(|error| bad(&error))?;
    if !has_names {
        return Ok(Some(config.with_root_certificates(roots).with_no_client_auth()));
    }
    let named = Named::new(&options.servers, roots, provider)?;
    Ok(Some(config.dangerous().with_custom_certificate_verifier(Arc::new(named)).with_no_client_auth()))
}

/// TLS reports so that the other side has a wrong certificate.
pub fn is_distrust(error: &async_nats::ConnectError) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
}

fn roots_of(ca: &str) -> Result<RootCertStore, Error> {
    let bad =
        |why: &dyn std::fmt::Display| Error::Configuration(format!("the authority's certificate: {why}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        let certificate = certificate.map_err(|error| bad(&error))?;
        roots.add(certificate).map_err(|error| bad(&error))?;
    }
    if roots.is_empty() {
        return Err(bad(&"there is none in the PEM"));
    }
    Ok(roots)
}

/// Those that can be read.
fn roots_of_the_system() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let missing = "the system has no certificates of authorities, and none were given (OH_NATS_CA_FILE)";
        return Err(Error::Configuration(missing.to_owned()));
    }
    Ok(roots)
}

/// Trusts a server by one of its names, where the address that is dialled is that of a way to it.
#[derive(Debug)]
struct Named {
    names: Vec<ServerName<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Named {
    fn new(servers: &[String], roots: RootCertStore, provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        let name = |server: &String| {
            let bad = |why: String| Error::Configuration(format!("{server}: {why}"));
            let address: ServerAddr = server.parse().map_err(|error: io::Error| bad(error.to_string()))?;
            ServerName::try_from(address.host().to_owned()).map_err(|error| bad(error.to_string()))
        };
        let names = servers.iter().map(name).collect::<Result<_, _>>()?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.map_err(|error| Error::Configuration(format!("TLS: {error}")))?;
        Ok(Self { names, verifier })
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        dialled: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verify = |name: &ServerName<'_>| {
            self.verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now)
        };
        match self.names.iter().find_map(|name| verify(name).ok()) {
            Some(verified) => Ok(verified),
            // For its words.
            None => verify(self.names.first().unwrap_or(dialled)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_no_tls_behind_a_door_needs_no_authorities() {
        let servers = vec!["nats://nats:4222".to_owned()];
        let options = Options {
            urls: vec!["nats://127.0.0.1:4222".to_owned()],
            credentials: None,
            ca: None,
            servers,
            name: "test".to_owned(),
            inbox: None,
        };
        assert!(matches!(config(&options), Ok(None)), "authorities are looked for");
    }
}
