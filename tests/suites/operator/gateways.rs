//! Gateways that only look alive: for each pod of one, what answers on its admin port as a gateway does.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::world::World;

/// Port that gateways are asked on.
const ADMIN_PORT: u16 = 8081;

static PODS: AtomicU8 = AtomicU8::new(1);

/// One of them.
#[derive(Debug, Default)]
pub(crate) struct Gateway {
    pub(crate) connections: u64,
    pub(crate) draining: bool,
    /// Whether its connections stay although it drains.
    pub(crate) held: bool,
    /// What it was told, last one last.
    pub(crate) orders: Vec<Value>,
    deadline_at: Value,
}

impl Gateway {
    fn status(&mut self) -> Value {
        if self.draining && !self.held {
            self.connections = 0;
        }
        let drain = self.draining.then(|| {
            json!({
                "started_at": "2026-11-24T02:19:00.000Z", "deadline_at": self.deadline_at,
                "initial": 9, "remaining": self.connections, "rate": 1,
            })
        });
        json!({ "ready": !self.draining, "draining": self.draining, "connections": self.connections, "drain": drain })
    }
}

/// The gateways of a world, by the number of the pod.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gateways(Arc<Mutex<BTreeMap<u32, Gateway>>>);

impl Gateways {
    /// Plays them from now on, in place of the world's own kubelet.
    pub(crate) fn play(world: &mut World) -> Self {
        world.stop_kubelet();
        let gateways = Self::default();
        let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
        let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
        world.play(run(pods, secrets, gateways.clone()));
        gateways
    }

    /// Looks at one, or changes it; `None` where there is no such pod.
    pub(crate) fn with<T>(&self, ordinal: u32, look: impl FnOnce(&mut Gateway) -> T) -> Option<T> {
        self.0.lock().unwrap().get_mut(&ordinal).map(look)
    }
}

async fn run(pods: Api<Pod>, secrets: Api<Secret>, gateways: Gateways) {
    // What answers for a pod ends with it.
    let mut answering: BTreeMap<String, JoinSet<()>> = BTreeMap::new();
    loop {
        let all = pods.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        answering.retain(|uid, _| all.iter().any(|pod| pod.uid().as_ref() == Some(uid)));
        for pod in all.iter().filter(|pod| pod.status.as_ref().is_some_and(|it| it.phase.as_deref() == Some("Pending")))
        {
            let is_of_job = pod.owner_references().iter().any(|owner| owner.kind == "Job");
            let mut status = json!({
                "phase": if is_of_job { "Succeeded" } else { "Running" },
                "conditions": [{ "type": "Ready", "status": "True" }, { "type": "ContainersReady", "status": "True" }],
            });
            let name = pod.name_any();
            if let Some(ordinal) = name.strip_prefix("demo-gateway-").and_then(|ordinal| ordinal.parse().ok()) {
                let Ok(secret) = secrets.get("demo-admin").await else { continue };
                let token = String::from_utf8(secret.data.unwrap()["token"].0.clone()).unwrap();
                let ip = Ipv4Addr::new(127, 88, 0, PODS.fetch_add(1, Ordering::Relaxed));
                let listener = TcpListener::bind(SocketAddr::from((ip, ADMIN_PORT))).await.unwrap();
                gateways.0.lock().unwrap().insert(ordinal, Gateway::default());
                let tasks = answering.entry(pod.uid().unwrap()).or_default();
                tasks.spawn(answer(listener, ordinal, token, gateways.clone()));
                status["podIP"] = ip.to_string().into();
                status["podIPs"] = json!([{ "ip": ip.to_string() }]);
            }
            let patch = Patch::Merge(json!({ "status": status }));
            // It may be gone meanwhile.
            drop(pods.patch_status(&name, &PatchParams::default(), &patch).await);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn answer(listener: TcpListener, ordinal: u32, token: String, gateways: Gateways) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (token, gateways) = (token.clone(), gateways.clone());
        let service = service_fn(move |request| say(request, ordinal, token.clone(), gateways.clone()));
        connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn say(
    request: Request<Incoming>,
    ordinal: u32,
    token: String,
    gateways: Gateways,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let wanted = format!("Bearer {token}");
    if request.headers().get("authorization").and_then(|it| it.to_str().ok()) != Some(&wanted) {
        return Ok(Response::builder().status(StatusCode::UNAUTHORIZED).body(Full::default()).unwrap());
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let status = gateways.with(ordinal, |gateway| {
        match (&method, path.as_str()) {
            (&Method::GET, "/status") => {}
            (&Method::POST, "/drain") => {
                gateway.draining = true;
                let order: Value = serde_json::from_slice(&body).unwrap();
                gateway.deadline_at = order["deadline_at"].clone();
                gateway.orders.push(order);
            }
            (&Method::DELETE, "/drain") => gateway.draining = false,
            other => panic!("{other:?}"),
        }
        gateway.status()
    });
    Ok(Response::new(Full::from(status.unwrap().to_string())))
}
