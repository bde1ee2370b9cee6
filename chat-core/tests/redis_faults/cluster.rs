//! A Redis Cluster of three primaries and three replicas, to be broken. It ends with its value.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chat_core::config::RedisConfig;
use chat_core::redis::Redis;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, cmd};
use tokio::time::{Instant, sleep};

const PRIMARIES: usize = 3;
const NODES: usize = 6;
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Cluster {
    dir: tempfile::TempDir,
    nodes: Vec<Node>,
    config: RedisConfig,
}

struct Node {
    port: u16,
    server: Option<Child>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            _ = server.kill();
            _ = server.wait();
        }
    }
}

/// Finds ports that are free, as are those of the nodes' own traffic, 10 000 above.
fn free_ports() -> Vec<u16> {
    let mut held = Vec::new();
    let mut ports = Vec::new();
    while ports.len() < NODES {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let bus = port.checked_add(10_000).and_then(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        if let Some(bus) = bus {
            ports.push(port);
            held.push(bus);
        }
        held.push(listener);
    }
    ports
}

fn serve(dir: &Path, port: u16) -> Child {
    let dir: PathBuf = dir.join(port.to_string());
    std::fs::create_dir_all(&dir).unwrap();
    let mut server = Command::new("redis-server");
    server.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    server.args(["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]);
    server.args(["--cluster-announce-ip", "127.0.0.1", "--cluster-node-timeout", "4000"]);
    server.args(["--cluster-require-full-coverage", "no", "--cluster-allow-replica-migration", "no"]);
    server.args(["--cluster-allow-pubsubshard-when-down", "no", "--repl-ping-replica-period", "1"]);
    server.args(["--repl-diskless-sync-delay", "0"]);
    server.arg("--dir").arg(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    server.spawn().expect("redis-server is needed: run `tests/run.sh engines`")
}

/// Repeats a question until the answer is there.
async fn until<T>(within: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports = free_ports();
        let urls = ports.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect();
        let config = RedisConfig { urls, prefix: "t-".to_owned(), auth: None, tls: None };
        let node = |port| Node { port, server: Some(serve(dir.path(), port)) };
        let nodes = ports.into_iter().map(node).collect();
        let cluster = Self { dir, nodes, config };
        for node in 0..NODES {
            until(DEADLINE, "a node answers", async || cluster.ask::<String>(node, &["PING"]).await).await;
        }
        for (primary, (first, last)) in [(0, 5460), (5461, 10922), (10923, 16383)].into_iter().enumerate() {
            cluster.tell(primary, &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
        }
        for node in 1..NODES {
            let port = cluster.nodes[node].port.to_string();
            cluster.tell(0, &["CLUSTER", "MEET", "127.0.0.1", &port]).await;
        }
        for replica in PRIMARIES..NODES {
            let id: String = cluster.ask(replica - PRIMARIES, &["CLUSTER", "MYID"]).await.unwrap();
            until(DEADLINE, "a replica knows its primary", async || {
                cluster.ask::<String>(replica, &["CLUSTER", "REPLICATE", &id]).await
            })
            .await;
        }
        cluster.until_whole().await;
        cluster
    }

    pub(crate) fn config(&self) -> &RedisConfig {
        &self.config
    }

    pub(crate) async fn open(&self) -> Redis {
        Redis::open(&self.config).await.unwrap()
    }

    async fn node(&self, node: usize) -> Option<MultiplexedConnection> {
        let client = redis::Client::open(self.config.urls[node].as_str()).unwrap();
        let settings = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(2)));
        client.get_multiplexed_async_connection_with_config(&settings).await.ok()
    }

    /// Asks a node, `None` where it does not answer or refuses.
    async fn ask<T: FromRedisValue>(&self, node: usize, words: &[&str]) -> Option<T> {
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut self.node(node).await?).await.ok()
    }

    async fn tell(&self, node: usize, words: &[&str]) {
        let answer: Option<String> = self.ask(node, words).await;
        assert!(answer.is_some(), "{words:?} is refused");
    }

    /// Waits until all nodes agree on six of them, all slots are served and every replica follows its primary.
    async fn until_whole(&self) {
        for node in 0..NODES {
            until(DEADLINE, "the cluster is whole", async || {
                let info: String = self.ask(node, &["CLUSTER", "INFO"]).await?;
                let nodes: String = self.ask(node, &["CLUSTER", "NODES"]).await?;
                let role: String = self.ask(node, &["INFO", "replication"]).await?;
                let is_whole = info.contains("cluster_state:ok")
                    && info.contains("cluster_slots_ok:16384")
                    && nodes.lines().filter(|line| line.contains("slave")).count() == NODES - PRIMARIES
                    && !nodes.contains("fail")
                    && !nodes.contains("handshake")
                    && (role.contains("role:master") || role.contains("master_link_status:up"));
                is_whole.then_some(())
            })
            .await;
        }
    }

    /// Returns the node that says of itself that it serves a name.
    async fn serving(&self, name: &str) -> Option<usize> {
        for node in 0..NODES {
            let slot: Option<u16> = self.ask(node, &["CLUSTER", "KEYSLOT", name]).await;
            let nodes: Option<String> = self.ask(node, &["CLUSTER", "NODES"]).await;
            let (Some(slot), Some(nodes)) = (slot, nodes) else { continue };
            let Some(own) = nodes.lines().find(|line| line.contains("myself,master")) else { continue };
            let serves = own.split(' ').skip(8).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else { return false };
                first <= slot && slot <= last
            });
            if serves && self.ask::<Option<String>>(node, &["GET", name]).await.is_some() {
                return Some(node);
            }
        }
        None
    }

    pub(crate) async fn primary_of(&self, name: &str) -> usize {
        self.serving(name).await.expect("a node serves it")
    }

    pub(crate) async fn until_served(&self, name: &str, within: Duration) {
        until(within, "a replica takes over", async || self.serving(name).await).await;
    }

    pub(crate) async fn until_served_by_another(&self, name: &str, than: usize, within: Duration) {
        let another = async || self.serving(name).await.filter(|node| *node != than);
        until(within, "a replica takes over", another).await;
    }

    pub(crate) fn kill(&mut self, node: usize) {
        let mut server = self.nodes[node].server.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    pub(crate) fn kill_all(&mut self) {
        for node in 0..NODES {
            self.kill(node);
        }
    }

    pub(crate) async fn restart_all(&mut self) {
        for node in &mut self.nodes {
            node.server = Some(serve(self.dir.path(), node.port));
        }
        self.until_whole().await;
    }

    fn signal(&self, node: usize, signal: &str) {
        let pid = self.nodes[node].server.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(crate) fn pause(&self, node: usize) {
        self.signal(node, "-STOP");
    }

    pub(crate) fn resume(&self, node: usize) {
        self.signal(node, "-CONT");
    }

    pub(crate) fn pause_all(&self) {
        (0..NODES).for_each(|node| self.pause(node));
    }

    pub(crate) fn resume_all(&self) {
        (0..NODES).for_each(|node| self.resume(node));
    }

    pub(crate) async fn flush_all(&self) {
        for node in 0..PRIMARIES {
            self.tell(node, &["FLUSHALL"]).await;
        }
    }

    /// Moves the slot of a name to another primary, with its keys, as an operator does.
    pub(crate) async fn move_slot_of(&self, name: &str) {
        let from = self.primary_of(name).await;
        let to = (from + 1) % PRIMARIES;
        let slot: u16 = self.ask(from, &["CLUSTER", "KEYSLOT", name]).await.unwrap();
        let slot = slot.to_string();
        let source: String = self.ask(from, &["CLUSTER", "MYID"]).await.unwrap();
        let target: String = self.ask(to, &["CLUSTER", "MYID"]).await.unwrap();
        self.tell(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]).await;
        self.tell(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]).await;
        // Half-way for a while, so that traffic meets it.
        sleep(Duration::from_millis(300)).await;
        let port = self.nodes[to].port.to_string();
        loop {
            let keys: Vec<String> = self.ask(from, &["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).await.unwrap();
            if keys.is_empty() {
                break;
            }
            for key in &keys {
                self.tell(from, &["MIGRATE", "127.0.0.1", &port, key, "0", "2000"]).await;
            }
        }
        sleep(Duration::from_millis(300)).await;
        for node in [to, from, 3 - to - from] {
            self.tell(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &target]).await;
        }
    }

    /// Has the replica of a name's primary take over, both alive.
    pub(crate) async fn fail_over(&self, name: &str) {
        let primary = self.primary_of(name).await;
        self.tell(primary + PRIMARIES, &["CLUSTER", "FAILOVER"]).await;
        self.until_served_by_another(name, primary, DEADLINE).await;
    }
}
