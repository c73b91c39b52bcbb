//! The actor of `ractor_cluster` that carries sessions, as a child of the supervisor.
//!
//! It cannot do without a listener of its own, which lacks what the one here has: so that one listens
//! on the loopback address only and asks for an encryption that it has no certificate for.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError};

use aws_lc_rs::hmac;
use ractor::{Actor, SpawnErr};
use ractor_cluster::node::{NodeConnectionMode, NodeServerSessionInformation};
use ractor_cluster::{
    IncomingEncryptionMode, NodeEventSubscription, NodeServer, NodeServerMessage,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::Shared;
use crate::config::Secret;
use crate::limits::PEER_FRAME_BYTES_MAX;
use crate::supervision::{ChildSpec, Kind, Running};

/// What `ractor_cluster` puts around our messages, in bytes; far less is.
const ENVELOPE_BYTES: u64 = 4_096;

/// A resolver that has no certificate for anybody.
#[derive(Debug)]
struct NoCertificate;

/// Tells what happens to sessions.
struct Listening(Arc<Shared>);

/// The cookie for `ractor_cluster`, derived from ours so that ours is not sent through it.
pub(super) fn cookie(cookie: Option<&Secret>) -> String {
    let secret = cookie.map_or(&[][..], Secret::as_bytes);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, b"smache ractor cookie");
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How the actor is started. Sessions do not outlive it.
pub(super) fn spec(shared: &Arc<Shared>, cookie: String) -> ChildSpec {
    let shared = Arc::clone(shared);
    ChildSpec::new("node-server", Kind::Server, move |supervisor| {
        let (shared, cookie) = (Arc::clone(&shared), cookie.clone());
        async move {
            shared.end_all("node-server was started again");
            let id = shared.id.to_string();
            let parked = IncomingEncryptionMode::Tls(nobody()?);
            let mode = Some(NodeConnectionMode::Isolated);
            // Names are compared to tell a node from itself: each is that of one run.
            let server = NodeServer::new(0, cookie, id.clone(), id, Some(parked), mode)
                .with_listen_addr(IpAddr::V4(Ipv4Addr::LOCALHOST))
                .with_max_inbound_frame_size(PEER_FRAME_BYTES_MAX as u64 + ENVELOPE_BYTES);
            let started = Actor::spawn_linked(None, server, (), supervisor).await?;
            let subscription = Box::new(Listening(Arc::clone(&shared)));
            let id = "transport".to_owned();
            let subscribe = NodeServerMessage::SubscribeToEvents { id, subscription };
            // One that has ended by now is reported as any other that ends.
            drop(started.0.cast(subscribe));
            let mut server = shared.server.lock().unwrap_or_else(PoisonError::into_inner);
            *server = Some(started.0.clone());
            Ok(Running::killed(started))
        }
    })
}

/// An acceptor that nobody can satisfy.
fn nobody() -> Result<TlsAcceptor, SpawnErr> {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|reason| SpawnErr::StartupFailed(reason.into()))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(NoCertificate));
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

impl NodeEventSubscription for Listening {
    fn node_session_opened(&self, _session: NodeServerSessionInformation) {}

    fn node_session_authenticated(&self, _session: NodeServerSessionInformation) {}

    fn node_session_ready(&self, session: NodeServerSessionInformation) {
        if let Some(serial) = serial_of(&session) {
            self.0.sessions.set_ready(serial);
        }
    }

    fn node_session_disconnected(&self, session: NodeServerSessionInformation) {
        if let Some(serial) = serial_of(&session) {
            let shared = Arc::clone(&self.0);
            tokio::spawn(async move { shared.end(serial).await });
        }
    }
}

/// Which session it is: the last part of the label its stream was given.
fn serial_of(session: &NodeServerSessionInformation) -> Option<u64> {
    session.peer_addr.rsplit_once('/')?.1.parse().ok()
}

impl Shared {
    /// Ends all sessions, whose actors are gone.
    fn end_all(self: &Arc<Self>, reason: &str) {
        for session in self.sessions.all() {
            session.kill(reason);
            let shared = Arc::clone(self);
            // The supervisor is busy with the start that calls this, and stops links after it.
            tokio::spawn(async move { shared.end(session.serial).await });
        }
    }
}
