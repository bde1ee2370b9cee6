//! `chat-operator run`: from the command line to the loop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt as _, stream};
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{Predicate as _, WatchStreamExt as _, predicates, watcher};
use kube::{Api, Client};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::admin::Admin;
use super::dereference::ServedApis;
use super::lease::Holder;
use super::memory::Memory;
use super::metrics::Metrics;
use super::pass::{Context, Stored, after_failure, reconcile};
use super::probes::{Shown, router};
use super::tell::Teller;
use super::watches::Watches;
use crate::children::KINDS;
use crate::validate::Version;

/// Clusters that are worked on at a time.
const CONCURRENCY: u16 = 8;

/// Passes that are asked for within this time are one.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// How long passes under way may take to end.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// How long the first lists of all kinds may take.
const LISTED_WITHIN: Duration = Duration::from_secs(10);

/// Pause between looks whether an optional API was installed.
const REDISCOVER: Duration = Duration::from_mins(1);

/// Arguments of `chat-operator run`.
#[derive(Debug, Args)]
#[command(after_help = "Finds the API server as kubectl does, or by the service account of its pod.

Examples:
  chat-operator run --namespace chat
  chat-operator run --namespace team-a --namespace team-b
  chat-operator run --all-namespaces")]
pub struct RunArgs {
    /// Namespace whose clusters are run, up to 20 times. Absent: the operator's own.
    #[arg(long = "namespace", value_name = "NAME", env = "CHAT_NAMESPACES", value_delimiter = ',', num_args = 1..=20)]
    namespaces: Vec<String>,
    /// Run the clusters of all namespaces.
    #[arg(long, conflicts_with = "namespaces", env = "CHAT_ALL_NAMESPACES")]
    all_namespaces: bool,
    /// Namespace of the lease. Absent: the operator's own.
    #[arg(long, value_name = "NAME", env = "CHAT_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of this operator in the lease and in events.
    #[arg(long, value_name = "NAME", env = "CHAT_POD_NAME", default_value = "chat-operator")]
    identity: String,
    /// Address of probes and metrics.
    #[arg(long, value_name = "ADDRESS", env = "CHAT_LISTEN", default_value = "0.0.0.0:9090")]
    listen: SocketAddr,
}

/// Why the operator ends.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The API server cannot be found or does not answer.
    #[error("cannot reach the API server: {0}")]
    Client(#[from] kube::Error),
    /// The configuration of the client is wrong.
    #[error("cannot find the API server: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// The custom resource is not there.
    #[error("ChatCluster is not known to the API server: {0}; install it by `chat-operator crd | kubectl apply -f -`")]
    NoDefinition(kube::Error),
    /// The port is taken.
    #[error("cannot listen on {0}: {1}; give another address by --listen")]
    Listen(SocketAddr, std::io::Error),
    /// Signals cannot be listened to.
    #[error("cannot listen to signals: {0}")]
    Signals(std::io::Error),
    /// Another operator may work now.
    #[error("the lease is lost; the process ends so that no two operators work at once")]
    LeaseLost,
    /// The version of this program is none.
    #[error(transparent)]
    Version(#[from] crate::validate::NotAVersion),
}

/// Runs the operator until a signal ends it, or the lease is lost.
///
/// # Errors
///
/// Where it cannot begin, and where the lease is lost.
pub async fn run(args: &RunArgs) -> Result<(), RunError> {
    let config = kube::Config::infer().await?;
    let own_namespace = config.default_namespace.clone();
    let client = Client::try_from(config)?;
    let mut registry = Registry::default();
    let metrics = Arc::new(Metrics::register(&mut registry));
    let ready = Arc::new(AtomicBool::new(false));
    let shown = Shown { ready: Arc::clone(&ready), registry: Arc::new(registry) };
    let listener = TcpListener::bind(args.listen).await.map_err(|error| RunError::Listen(args.listen, error))?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router(shown)).await {
            tracing::error!(%error, "probes are not served any more");
        }
    });
    let end = CancellationToken::new();
    end_on_signal(end.clone(), &mut tasks)?;

    let clusters: Api<Stored> = Api::all(client.clone());
    let first: Api<Stored> = match args.namespaces.first() {
        _ if args.all_namespaces => clusters,
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::namespaced(client.clone(), &own_namespace),
    };
    first.list(&kube::api::ListParams::default().limit(1)).await.map_err(RunError::NoDefinition)?;

    let identity = format!("{}-{:08x}", args.identity, rand::random::<u32>());
    let lease_namespace = args.lease_namespace.as_ref().unwrap_or(&own_namespace);
    let holder = Holder::new(client.clone(), lease_namespace, identity.clone());
    // One that stands by is as it should be.
    ready.store(true, Ordering::Relaxed);
    tokio::select! {
        () = holder.acquire() => {}
        () = end.cancelled() => return Ok(()),
    }
    tracing::info!(identity, "works");
    metrics.leading.set(1);
    let leads = Arc::new(AtomicBool::new(true));
    let namespaces: Vec<Option<String>> = match (args.all_namespaces, args.namespaces.is_empty()) {
        (true, _) => vec![None],
        (false, true) => vec![Some(own_namespace)],
        (false, false) => args.namespaces.iter().cloned().map(Some).collect(),
    };
    let own: Version = env!("CARGO_PKG_VERSION").parse()?;
    let mut controllers = JoinSet::new();
    for namespace in namespaces {
        let shared = Shared {
            client: client.clone(),
            own: own.clone(),
            metrics: Arc::clone(&metrics),
            identity: identity.clone(),
            leads: Arc::clone(&leads),
            end: end.clone(),
        };
        controllers.spawn(control(namespace, shared));
    }
    let lost = tokio::select! {
        () = holder.keep() => true,
        () = end.cancelled() => false,
        _ = controllers.join_next() => false,
    };
    leads.store(false, Ordering::Relaxed);
    if lost {
        return Err(RunError::LeaseLost);
    }
    end.cancel();
    let finished =
        tokio::time::timeout(FINISH_WITHIN, async { while controllers.join_next().await.is_some() {} }).await;
    if finished.is_err() {
        tracing::warn!("passes under way were cut short; the next operator makes them");
    }
    holder.release().await;
    Ok(())
}

fn end_on_signal(end: CancellationToken, tasks: &mut JoinSet<()>) -> Result<(), RunError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    tasks.spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        end.cancel();
    });
    Ok(())
}

/// What the controllers of all namespaces share.
struct Shared {
    client: Client,
    own: Version,
    metrics: Arc<Metrics>,
    identity: String,
    leads: Arc<AtomicBool>,
    end: CancellationToken,
}

/// Runs the clusters of one namespace, or of all.
async fn control(namespace: Option<String>, shared: Shared) {
    let Shared { client, own, metrics, identity, leads, end } = shared;
    let clusters: Api<Stored> = match &namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let (reader, writer) = reflector::store();
    // The status is the operator's own: what it writes there asks for no pass.
    let asks = predicates::generation.combine(predicates::annotations);
    let stream = watcher(clusters, watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .touched_objects()
        .predicate_filter(asks, kube::runtime::PredicateConfig::default());

    let (watches, touched) = Watches::new();
    let mut tasks = JoinSet::new();
    for kind in KINDS.iter().filter(|kind| kind.built_in) {
        watches.start(&client, namespace.as_deref(), kind, &mut tasks);
    }
    // A watch that is not permitted holds up nobody: the pass finds out, and says so in the status.
    if tokio::time::timeout(LISTED_WITHIN, watches.ready()).await.is_err() {
        tracing::warn!("some kinds are not watched yet");
    }
    let teller = Teller::new(client.clone(), identity, Arc::clone(&metrics));
    let context = Arc::new(Context {
        client: client.clone(),
        own,
        watches,
        clusters: reader.clone(),
        memory: Memory::default(),
        apis: ServedApis::default(),
        metrics,
        teller,
        admin: Admin::new(),
        started: tokio::time::Instant::now(),
        leads,
    });
    tasks.spawn(discover(Arc::clone(&context), client, namespace));
    let touched = stream::unfold(touched, |mut touched| async {
        let (namespace, name) = touched.recv().await?;
        Some((ObjectRef::<Stored>::new(&name).within(&namespace), touched))
    });
    Controller::for_stream(stream, reader)
        .with_config(Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE))
        .reconcile_on(touched)
        .graceful_shutdown_on(end.cancelled_owned())
        .run(reconcile, after_failure, context)
        .for_each(|_| std::future::ready(()))
        .await;
}

/// Begins to watch the kinds that not every Kubernetes cluster has, once they are there.
async fn discover(context: Arc<Context>, client: Client, namespace: Option<String>) {
    let mut tasks = JoinSet::new();
    loop {
        match context.apis.get(&client).await {
            Ok(apis) => {
                for kind in KINDS.iter().filter(|kind| !kind.built_in && !context.watches.has(kind)) {
                    let served = match kind.kind {
                        "HTTPRoute" => apis.http_route,
                        _ => apis.monitoring,
                    };
                    if served {
                        context.watches.start(&client, namespace.as_deref(), kind, &mut tasks);
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "cannot tell which APIs are served"),
        }
        tokio::time::sleep(REDISCOVER).await;
    }
}
