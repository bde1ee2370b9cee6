//! One scenario's world: a namespace, an operator, and what plays the kubelet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::{Client, ResourceExt as _};
use operator::children::{KINDS, Kind};
use operator::crd::ChatCluster;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How long anything may take.
pub(crate) const WITHIN: Duration = Duration::from_secs(30);

/// A manifest that runs on embedded engines.
pub(crate) const DEMO: &str = "
apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata: {name: demo}
spec: {version: 0.1.0, engines: {embedded: {}}}
";

/// A manifest that runs beside engines of somebody else.
pub(crate) const EXTERNAL: &str = "
apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata: {name: demo}
spec:
  version: 0.1.0
  redis: {external: {urls: ['redis://redis:6379']}}
  kafka: {external: {bootstrapServers: ['kafka:9092']}}
  cassandra: {external: {contactPoints: [cassandra], localDatacenter: dc1}}
  search: {disabled: {}}
";

/// A namespace with what is in it.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    operators: Vec<Child>,
    kubelet: JoinSet<()>,
    dir: tempfile::TempDir,
    api_server: Hold,
}

static WORLDS: AtomicU32 = AtomicU32::new(0);

/// Held by all who use the API server; alone by who stops it.
static API_SERVER: RwLock<()> = RwLock::const_new(());

/// How a scenario holds it.
struct Hold {
    _shared: Option<RwLockReadGuard<'static, ()>>,
    alone: Option<RwLockWriteGuard<'static, ()>>,
}

impl World {
    /// Makes a namespace in which pods run as soon as they are made. No operator runs yet. A scenario has one at a time.
    pub(crate) async fn new(name: &str) -> Self {
        Self::on(Hold { _shared: Some(API_SERVER.read().await), alone: None }, name).await
    }

    /// Makes such a namespace while no other scenario uses the API server.
    pub(crate) async fn alone(name: &str) -> Self {
        Self::on(Hold { _shared: None, alone: Some(API_SERVER.write().await) }, name).await
    }

    async fn on(api_server: Hold, name: &str) -> Self {
        let client = Client::try_default().await.expect("KUBECONFIG names an API server: tests/run.sh operator");
        install_definition(&client).await;
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("{name}-{}-{number}", std::process::id());
        let made: Namespace = serde_json::from_value(json!({ "metadata": { "name": namespace } })).unwrap();
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &made).await.unwrap();
        for object in operator::rbac::grant(&namespace, &namespace) {
            apply(&client, &namespace, &object).await;
        }
        let mut kubelet = JoinSet::new();
        kubelet.spawn(run_pods(Api::namespaced(client.clone(), &namespace)));
        Self { client, namespace, operators: Vec::new(), kubelet, dir: tempfile::tempdir().unwrap(), api_server }
    }

    /// Makes such a namespace, and runs an operator.
    pub(crate) async fn with_operator(name: &str) -> Self {
        let mut world = Self::new(name).await;
        world.start_operator(&[]);
        world
    }

    /// Kills the API server, and starts it again.
    pub(crate) async fn restart_api_server(&self) {
        assert!(self.api_server.alone.is_some(), "others use it");
        let restart = std::env::var_os("RESTART_API_SERVER").expect("RESTART_API_SERVER names a program");
        let restarted = Command::new(restart).stdout(Stdio::null()).status().await.unwrap();
        assert!(restarted.success());
    }

    /// Makes pods stay as they are made.
    pub(crate) fn stop_kubelet(&mut self) {
        self.kubelet.abort_all();
    }

    /// Plays something else as long as this world lasts.
    pub(crate) fn play(&mut self, part: impl Future<Output = ()> + Send + 'static) {
        self.kubelet.spawn(part);
    }

    /// Starts an operator; returns its place among those that were started.
    pub(crate) fn start_operator(&mut self, environment: &[(&str, &str)]) -> usize {
        let child = Command::new(std::env::var_os("CHAT_OPERATOR").expect("CHAT_OPERATOR names the program"))
            .args(["run", "--namespace", &self.namespace, "--lease-namespace", &self.namespace])
            .args(["--listen", "127.0.0.1:0"])
            .env("KUBECONFIG", self.kubeconfig())
            .env("CHAT_LOG", "info")
            .envs(environment.iter().copied())
            .stderr(self.log(self.operators.len()))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.operators.push(child);
        self.operators.len() - 1
    }

    fn log(&self, operator: usize) -> std::fs::File {
        let file = self.dir.path().join(format!("operator-{operator}.log"));
        std::fs::File::create(file).unwrap()
    }

    /// Returns what an operator has logged.
    pub(crate) fn logged(&self, operator: usize) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("operator-{operator}.log"))).unwrap_or_default()
    }

    /// Ends an operator, as kubelet does or at once.
    pub(crate) async fn end_operator(&mut self, operator: usize, signal: Signal) {
        let child = &mut self.operators[operator];
        if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).unwrap())) {
            kill_process(pid, signal).unwrap();
        }
        tokio::time::timeout(WITHIN, child.wait()).await.expect("the operator ends").unwrap();
    }

    /// Stops an operator in its tracks, or lets it go on.
    pub(crate) fn signal_operator(&self, operator: usize, signal: Signal) {
        let pid = self.operators[operator].id().unwrap();
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
    }

    /// Removes the lease of an operator that was killed, so that the next need not wait until it runs out.
    pub(crate) async fn forget_lease(&self) {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        leases.delete("chat-operator", &DeleteParams::default()).await.unwrap();
    }

    /// Tells whether an operator has ended by itself.
    pub(crate) fn has_ended(&mut self, operator: usize) -> bool {
        self.operators[operator].try_wait().unwrap().is_some()
    }

    /// The client configuration of the operator: that of the service account which the rights are bound to.
    fn kubeconfig(&self) -> PathBuf {
        let mut config: Value =
            serde_yaml::from_str(&std::fs::read_to_string(std::env::var_os("KUBECONFIG").unwrap()).unwrap()).unwrap();
        config["users"][0]["user"]["as"] = format!("system:serviceaccount:{}:chat-operator", self.namespace).into();
        config["contexts"][0]["context"]["namespace"] = self.namespace.clone().into();
        let file = self.dir.path().join("kubeconfig");
        std::fs::write(&file, serde_json::to_string(&config).unwrap()).unwrap();
        file
    }

    pub(crate) fn clusters(&self) -> Api<ChatCluster> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn objects(&self, kind: &Kind) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk(kind.group, kind.version, kind.kind);
        Api::namespaced_with(
            self.client.clone(),
            &self.namespace,
            &ApiResource::from_gvk_with_plural(&gvk, kind.plural),
        )
    }

    /// Applies a manifest, as a user does.
    pub(crate) async fn apply(&self, manifest: &str) {
        self.try_apply(manifest).await.unwrap();
    }

    /// Applies a manifest; the API server may refuse it.
    pub(crate) async fn try_apply(&self, manifest: &str) -> Result<ChatCluster, kube::Error> {
        let cluster: Value = serde_yaml::from_str(manifest).unwrap();
        let name = cluster["metadata"]["name"].as_str().unwrap().to_owned();
        let strict = PatchParams {
            field_validation: Some(kube::api::ValidationDirective::Strict),
            ..PatchParams::apply("user")
        };
        self.clusters().patch(&name, &strict.force(), &Patch::Apply(&cluster)).await
    }

    /// Merges fields into the spec of a cluster.
    pub(crate) async fn change(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.clusters().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until a condition is of this status and reason.
    pub(crate) async fn wait_for(&self, name: &str, kind: &str, status: &str, reason: &str) -> ChatCluster {
        let mut last = String::new();
        let begun = Instant::now();
        while begun.elapsed() < WITHIN {
            let cluster = self.clusters().get(name).await.unwrap();
            let generation = cluster.metadata.generation;
            let conditions = cluster.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
            let found = conditions.iter().find(|condition| condition.type_ == kind);
            if found
                .is_some_and(|it| it.status == status && it.reason == reason && it.observed_generation == generation)
            {
                return cluster;
            }
            last = serde_json::to_string(&conditions).unwrap();
            sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "{name} is not {kind}={status} {reason}: {last}\n{}",
            self.logged(self.operators.len().saturating_sub(1))
        );
    }

    /// Waits until a cluster serves.
    pub(crate) async fn wait_ready(&self, name: &str) -> ChatCluster {
        self.wait_for(name, "Ready", "True", "Serving").await
    }

    /// Waits for something.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, is: impl Fn() -> F) {
        let begun = Instant::now();
        while !is().await {
            assert!(
                begun.elapsed() < WITHIN,
                "{what}: not in time\n{}",
                self.logged(self.operators.len().saturating_sub(1))
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the operator's objects, by kind and name.
    pub(crate) async fn children(&self) -> BTreeMap<(String, String), DynamicObject> {
        let mut found = BTreeMap::new();
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=chat-operator");
        for kind in KINDS.iter().filter(|kind| kind.built_in) {
            for object in self.objects(kind).list(&ours).await.unwrap() {
                found.insert((kind.kind.to_owned(), object.name_any()), object);
            }
        }
        found
    }

    /// Returns what the operators of this world wrote, as verb and object, from the API server's own record.
    pub(crate) fn writes(&self) -> Vec<String> {
        let user = format!("system:serviceaccount:{}:chat-operator", self.namespace);
        let log = std::fs::read_to_string(std::env::var_os("AUDIT_LOG").unwrap()).unwrap();
        let events =
            log.lines().filter(|line| line.contains(&user)).filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events
            .filter(|event| event["impersonatedUser"]["username"] == user.as_str())
            .filter(|event| event["objectRef"]["resource"] != "leases")
            .map(|event| {
                let object = &event["objectRef"];
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                format!("{} {} {}", text(&event["verb"]), text(&object["resource"]), text(&object["name"]))
            })
            .collect()
    }

    /// Returns the reasons of the events of a cluster.
    pub(crate) async fn events(&self, cluster: &str) -> Vec<String> {
        let api: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let all = api.list(&ListParams::default()).await.unwrap();
        let of = all
            .items
            .into_iter()
            .filter(|event| event.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some(cluster));
        of.filter_map(|event| event.reason).collect()
    }
}

/// Installs the definition, and waits until it is served.
async fn install_definition(client: &Client) {
    let kind = Kind {
        group: "apiextensions.k8s.io",
        version: "v1",
        kind: "CustomResourceDefinition",
        plural: "customresourcedefinitions",
        built_in: true,
    };
    let gvk = GroupVersionKind::gvk(kind.group, kind.version, kind.kind);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&gvk, kind.plural));
    let mut definition = serde_json::to_value(operator::crd::definition()).unwrap();
    definition["apiVersion"] = kind.api_version().into();
    definition["kind"] = kind.kind.into();
    let params = PatchParams::apply("tests").force();
    api.patch("chatclusters.chatcluster.dev", &params, &Patch::Apply(&definition)).await.unwrap();
    let begun = Instant::now();
    while Api::<ChatCluster>::all(client.clone()).list(&ListParams::default().limit(1)).await.is_err() {
        assert!(begun.elapsed() < WITHIN, "the definition is not served");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn apply(client: &Client, namespace: &str, object: &Value) {
    let text = |field: &str| object[field].as_str().unwrap().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let name = object["metadata"]["name"].as_str().unwrap();
    api.patch(name, &PatchParams::apply("tests").force(), &Patch::Apply(object)).await.unwrap();
}

/// Plays the kubelet: says of every pod that it runs and is ready, and of one of a Job that it is done.
async fn run_pods(pods: Api<Pod>) {
    loop {
        for pod in pods.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default() {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            let is_of_job = pod.owner_references().iter().any(|owner| owner.kind == "Job");
            let is = if is_of_job { "Succeeded" } else { "Running" };
            if phase != Some(is) && pod.metadata.deletion_timestamp.is_none() {
                let status = json!({ "status": {
                    "phase": is,
                    "conditions": [{ "type": "Ready", "status": "True" }, { "type": "ContainersReady", "status": "True" }],
                } });
                // It may be gone meanwhile.
                drop(pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&status)).await);
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
}
