//! The accept loop, for TCP and for the control socket, and its drain.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use crate::{
    body::Keeping,
    client_addr::ClientAddr,
    deadline_io::{DeadlineIo, InFlight},
};

/// Deadlines and limits of connections.
#[derive(Debug, Clone)]
pub struct EdgeSettings {
    /// From the connection to its first byte.
    pub first_byte: Duration,
    /// From the first byte of a request's head to its last.
    pub header_read: Duration,
    /// Between requests.
    pub idle: Duration,
    /// Connections at once; more wait in the system's queue.
    pub connections: usize,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            header_read: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            connections: 10_000,
        }
    }
}

/// Who is at the other end of a TCP connection; in every request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Who is at the other end of the control socket; in every request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCred {
    /// User id.
    pub uid: u32,
}

/// Where connections come from.
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A socket file.
    Unix(UnixListener),
}

#[derive(Clone, Copy)]
enum Peer {
    Tcp(PeerAddr),
    Unix(PeerCred),
}

/// Serves connections.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    settings: EdgeSettings,
}

impl Edge {
    /// With these deadlines and limits.
    pub fn new(settings: EdgeSettings) -> Self {
        Self { settings }
    }

    /// Serves until `stop`, then lets requests in flight end, for at most `drain`. Accept errors do not end it.
    pub async fn run<S>(&self, listener: Listener, service: S, stop: CancellationToken, drain: Duration)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let places = Arc::new(Semaphore::new(self.settings.connections));
        let graceful = GracefulShutdown::new();
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                break;
            };
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&listener) => accepted,
            };
            match accepted {
                Ok((Io::Tcp(stream), peer)) => self.serve(stream, peer, service.clone(), &graceful, place),
                Ok((Io::Unix(stream), peer)) => self.serve(stream, peer, service.clone(), &graceful, place),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(listener);
        if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
            tracing::warn!("connections are left at the drain deadline; they are cut");
        }
    }

    fn serve<T, S>(
        &self,
        stream: T,
        peer: Peer,
        service: S,
        graceful: &GracefulShutdown,
        place: tokio::sync::OwnedSemaphorePermit,
    ) where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let in_flight = InFlight::default();
        let io = DeadlineIo::new(stream, self.settings.first_byte, self.settings.idle, in_flight.clone());
        let client = match peer {
            Peer::Tcp(peer) => Some(ClientAddr::new(peer.0.ip())),
            Peer::Unix(_) => None,
        };
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let extensions = request.extensions_mut();
            match peer {
                Peer::Tcp(peer) => extensions.insert(peer).map(|_| ()),
                Peer::Unix(peer) => extensions.insert(peer).map(|_| ()),
            };
            if let Some(client) = &client {
                extensions.insert(client.clone());
            }
            let (service, guard) = (service.clone(), in_flight.enter());
            async move {
                let response = service.oneshot(request.map(Body::new)).await?;
                Ok::<_, Infallible>(response.map(|body| Keeping::wrap(body, guard)))
            }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.settings.header_read)
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(self.settings.idle));
        let connection = builder
            .serve_connection_with_upgrades(TokioIo::new(Box::pin(io)), service)
            .into_owned();
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "connection ended");
            }
            drop(place);
        });
    }
}

enum Io {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn accept(listener: &Listener) -> io::Result<(Io, Peer)> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Io::Tcp(stream), Peer::Tcp(PeerAddr(address))))
        }
        Listener::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            let uid = stream.peer_cred()?.uid();
            Ok((Io::Unix(stream), Peer::Unix(PeerCred { uid })))
        }
    }
}
