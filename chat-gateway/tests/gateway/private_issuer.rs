//! An issuer whose certificate a private authority has signed: `caFile` vouches for it, and nothing else does.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use chat_core::clock::SystemClock;
use chat_core::config::{self, GatewayConfig, KeySource};
use chat_gateway::Gateway;
use jsonwebtoken::Algorithm;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;

use crate::harness::*;
use crate::published_keys::{Issuer, Pair, me, take, told};

/// An authority: its certificate as a file has it, and a server side of TLS for `localhost` that it vouches for.
fn authority() -> (String, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let pem = pem::encode(&pem::Pem::new("CERTIFICATE", certificate.der().to_vec()));
    let issuer = rcgen::Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap().der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf], key)
        .unwrap();
    (pem, TlsAcceptor::from(Arc::new(config)))
}

/// Takes connections by TLS.
pub(crate) struct Private {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl axum::serve::Listener for Private {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = self.tcp.accept().await.unwrap();
            // A client that does not trust the certificate breaks off.
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

fn vouched_by(config: &mut GatewayConfig, port: u16, ca_file: Option<&Path>) {
    take(config, format!("https://localhost:{port}/keys"), &[config::Algorithm::ES256]);
    if let KeySource::Jwks { ca_file: file, .. } = &mut config.auth.verifiers[0].keys {
        *file = ca_file.map(Path::to_owned);
    }
}

#[tokio::test]
async fn keys_of_a_private_issuer_are_taken_where_its_authority_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (pem, tls) = authority();
    let (other_pem, _) = authority();
    let (named, other) = (dir.path().join("ca.pem"), dir.path().join("other.pem"));
    std::fs::write(&named, &pem).unwrap();
    std::fs::write(&other, &other_pem).unwrap();
    let pair = Pair::new(Algorithm::ES256, None);
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    let _issuer = Issuer::start_on(Private { tcp, tls }, port, &[&pair]);
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |config| vouched_by(config, port, Some(&named))).await;
    assert_eq!(told(&me(&gateway, &pair.sign("ann")).await), (200, &json!("ann")));
    for (name, ca_file) in [("gw-1", None), ("gw-2", Some(other.as_path()))] {
        let mut config = stack.config(name);
        vouched_by(&mut config, port, ca_file);
        let gateway = Gateway::start(config, stack.ports.clone(), Arc::new(SystemClock)).await.unwrap();
        let answer = me(&gateway, &pair.sign("ann")).await;
        assert_eq!(told(&answer), (503, &json!("unavailable")), "{ca_file:?}");
        assert!(!gateway.is_ready());
    }
    // Another authority takes over, and the file with it: a gateway reads it anew for each fetch.
    let mut config = stack.config("gw-3");
    vouched_by(&mut config, port, Some(&other));
    let gateway = Gateway::start(config, stack.ports.clone(), Arc::new(SystemClock)).await.unwrap();
    std::fs::write(&other, &pem).unwrap();
    until("the keys are taken", || gateway.is_ready()).await;
}

#[tokio::test]
async fn a_file_that_vouches_for_nobody_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::without_sequencer();
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for ca_file in [empty, dir.path().join("absent.pem")] {
        let mut config = stack.config("gw-0");
        vouched_by(&mut config, 1, Some(&ca_file));
        let refused = Gateway::start(config, stack.ports.clone(), Arc::new(SystemClock)).await;
        let told = format!("{:?}", refused.expect_err("nobody is vouched for"));
        assert!(told.contains(ca_file.to_str().unwrap()), "{told}");
    }
}
