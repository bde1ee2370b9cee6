//! The component: configuration and ports in, a running gateway out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use chat_core::clock::Clock;
use chat_core::codes::CloseCode;
use chat_core::config::GatewayConfig;
use chat_core::health::Health;
use chat_core::id::GatewayId;
use chat_core::message_log::Topic;
use chat_core::message_store::StoreError;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::admin::{self, Status};
use crate::auth::{ConfigError, Verifiers};
use crate::drain::DrainRequest;
use crate::state::{Parts, Ports, State};
use crate::{dispatch, drain, erasure, http, presence, receipts, revocation, routes, sweep};

/// How often the end of a shutdown is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is left over at the end of a shutdown for sockets to say goodbye.
const GOODBYE_WITHIN: Duration = Duration::from_secs(6);

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener cannot be bound.
    #[error("listen on {addr}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The verifiers of tokens cannot be made.
    #[error("set up authentication")]
    Auth(#[from] ConfigError),
    /// The admin token cannot be read.
    #[error("read the admin token {path}")]
    AdminToken {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store does not tell its restore epoch.
    #[error("read the restore epoch")]
    Store(#[from] StoreError),
}

/// The gateway, before it runs.
#[derive(Debug, Clone, Copy)]
pub struct Gateway;

impl Gateway {
    /// Starts a gateway: binds both ports, subscribes to its channel, serves. Each start is a new boot, and so a new
    /// identity. Runs in tasks of the current tokio runtime until [`Running::shutdown`].
    pub async fn start(config: GatewayConfig, ports: Ports, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
        let (private, _) = bind(config.admin_listen).await?;
        Self::start_with(config, ports, clock, private, Health::default()).await
    }

    /// Starts a gateway whose admin port is bound already, and which shows how its engines are.
    pub async fn start_with(
        config: GatewayConfig,
        ports: Ports,
        clock: Arc<dyn Clock>,
        private: TcpListener,
        health: Health,
    ) -> Result<Running, StartError> {
        let verifiers = Verifiers::open(&config.auth)?;
        if let Some(path) = &config.admin_token_file {
            admin::read_token(path).map_err(|source| StartError::AdminToken { path: path.clone(), source })?;
        }
        let epoch = ports.store.restore_epoch().await?.to_string();
        let public = bind(config.listen).await?;
        let admin_addr =
            private.local_addr().map_err(|source| StartError::Listen { addr: config.admin_listen, source })?;
        let boot = boot_id();
        let partitions = ports.log.partitions(Topic::Messages);
        let id = GatewayId::new(&config.name, &boot);
        let state =
            Arc::new(State::new(Parts { id, boot, epoch, config, ports, clock, verifiers, partitions, health }));
        let router = http::router(Arc::clone(&state));
        let running = Running {
            public_addr: public.1,
            admin_addr,
            handle: Handle { state: Arc::clone(&state), router: router.clone() },
        };
        state.tasks.spawn(dispatch::run(Arc::clone(&state)));
        state.tasks.spawn(dispatch::resolve::run(Arc::clone(&state)));
        state.tasks.spawn(routes::run(Arc::clone(&state)));
        state.tasks.spawn(presence::run(Arc::clone(&state)));
        state.tasks.spawn(revocation::run(Arc::clone(&state)));
        state.tasks.spawn(erasure::run(Arc::clone(&state)));
        state.tasks.spawn(receipts::run(Arc::clone(&state)));
        state.tasks.spawn(sweep::run(Arc::clone(&state)));
        state.tasks.spawn({
            let state = Arc::clone(&state);
            async move { state.verifiers.run(state.shutdown.clone()).await }
        });
        state.tasks.spawn(drain::run(Arc::clone(&state)));
        state.tasks.spawn(http::serve::accept(Arc::clone(&state), router, public.0));
        let admin_router = admin::router(Arc::clone(&state));
        state.tasks.spawn(http::serve::accept(Arc::clone(&state), admin_router, private));
        tracing::info!(gateway = %state.id, public = %running.public_addr, admin = %running.admin_addr, "gateway started");
        Ok(running)
    }
}

async fn bind(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Makes the id of a boot: random, and short enough for a log line.
fn boot_id() -> String {
    format!("{:012x}", rand::random::<u64>() >> 16)
}

/// A gateway that runs. Dropping it leaves the gateway running; [`shutdown`](Self::shutdown) ends it.
#[derive(Debug)]
pub struct Running {
    public_addr: SocketAddr,
    admin_addr: SocketAddr,
    handle: Handle,
}

/// Access to a running gateway, for whoever hands it connections or watches it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    state: Arc<State>,
    router: Router,
}

impl Handle {
    /// Returns `name#boot`.
    pub fn id(&self) -> &GatewayId {
        &self.state.id
    }

    /// Returns the configured name.
    pub fn name(&self) -> &str {
        &self.state.config.name
    }

    /// Serves a connection that was accepted elsewhere, as if it had come to the public port.
    pub fn hand_over(&self, stream: TcpStream) {
        http::serve::serve(&self.state, &self.router, stream);
    }

    /// Says how the gateway is.
    pub fn status(&self) -> Status {
        self.state.status()
    }

    /// Returns how many sessions there are, those that still authenticate included.
    pub fn connections(&self) -> usize {
        self.state.admission.connections()
    }

    /// Returns whether new clients should be sent here: subscribed, not draining, not stopping.
    pub fn is_ready(&self) -> bool {
        self.state.is_ready()
    }

    /// Begins to move the sessions off, or renews and changes that. New ones are refused from now on.
    pub fn drain(&self, request: DrainRequest) -> Status {
        self.state.drain(request);
        self.status()
    }

    /// Withdraws the drain and takes clients again.
    pub fn cancel_drain(&self) -> Status {
        self.state.cancel_drain();
        self.status()
    }
}

impl Running {
    /// Returns where clients connect.
    pub fn public_addr(&self) -> SocketAddr {
        self.public_addr
    }

    /// Returns where the admin port is.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Returns access that may be cloned and kept.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Returns `name#boot`.
    pub fn id(&self) -> &GatewayId {
        self.handle.id()
    }

    /// Returns the configured name.
    pub fn name(&self) -> &str {
        self.handle.name()
    }

    /// Says how the gateway is.
    pub fn status(&self) -> Status {
        self.handle.status()
    }

    /// Returns how many sessions there are.
    pub fn connections(&self) -> usize {
        self.handle.connections()
    }

    /// Returns whether new clients should be sent here.
    pub fn is_ready(&self) -> bool {
        self.handle.is_ready()
    }

    /// Begins to move the sessions off; see [`Handle::drain`].
    pub fn drain(&self, request: DrainRequest) -> Status {
        self.handle.drain(request)
    }

    /// Withdraws the drain; see [`Handle::cancel_drain`].
    pub fn cancel_drain(&self) -> Status {
        self.handle.cancel_drain()
    }

    /// Drains within `deadline`, then stops: what is left is closed with 4000 `restart`, routes are dropped, and the
    /// ports are closed. Zero stops at once.
    pub async fn shutdown(self, deadline: Duration) {
        let state = self.handle.state;
        let until = Instant::now() + deadline;
        if !deadline.is_zero() && state.admission.connections() > 0 {
            let left_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
            let connections = u32::try_from(state.admission.connections()).unwrap_or(u32::MAX);
            // Fast enough that all are told before the closing begins.
            let needed = u64::from(connections).saturating_mul(1_600).div_ceil(left_ms.max(1));
            let rate = state.config.drain.reconnects_per_second.max(u32::try_from(needed).unwrap_or(u32::MAX));
            state.drain(DrainRequest {
                deadline_at: state.clock.now().plus_millis(left_ms),
                rate,
                lease_s: left_ms / 1_000 + 60,
            });
            while state.admission.connections() > 0 && Instant::now() < until {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        for session in state.sessions.all() {
            session.close(CloseCode::Restart);
        }
        state.shutdown.cancel();
        state.tasks.close();
        if tokio::time::timeout(GOODBYE_WITHIN, state.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = state.tasks.len(), "some connections did not end in time");
        }
        tracing::info!(gateway = %state.id, "gateway stopped");
    }
}
