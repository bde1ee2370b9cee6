//! A Redis Cluster of three primaries and three replicas, to be broken. It ends with its value.

use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

const NODES: usize = 6;

/// How long the nodes may take to agree.
const AGREE: Duration = Duration::from_secs(30);

/// The cluster.
#[derive(Debug)]
pub struct RedisCluster {
    dir: tempfile::TempDir,
    ports: Vec<u16>,
    servers: Vec<Child>,
}

impl Drop for RedisCluster {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // One that was killed is gone already.
            _ = server.kill();
            _ = server.wait();
        }
    }
}

impl RedisCluster {
    /// Starts it, and waits until all nodes agree.
    pub async fn start() -> anyhow::Result<Self> {
        let mut cluster = Self { dir: tempfile::tempdir()?, ports: free_ports()?, servers: Vec::new() };
        for port in cluster.ports.clone() {
            let server = cluster.serve(port)?;
            cluster.servers.push(server);
        }
        for port in &cluster.ports {
            until("a node answers", async || Ok(cli(*port, &["PING"]).await.is_ok())).await?;
        }
        let addresses: Vec<String> = cluster.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(addresses.iter().map(String::as_str));
        create.extend(["--cluster-replicas", "1", "--cluster-yes"]);
        cli(cluster.ports[0], &create).await?;
        cluster.until_whole().await?;
        Ok(cluster)
    }

    /// Returns where its nodes are.
    pub fn urls(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect()
    }

    fn serve(&self, port: u16) -> anyhow::Result<Child> {
        let dir = self.dir.path().join(port.to_string());
        std::fs::create_dir_all(&dir)?;
        let mut server = std::process::Command::new("redis-server");
        server.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        server.args(["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]);
        server.args(["--cluster-announce-ip", "127.0.0.1", "--cluster-node-timeout", "4000"]);
        server.args(["--cluster-require-full-coverage", "no", "--cluster-allow-replica-migration", "no"]);
        server.args(["--cluster-allow-pubsubshard-when-down", "no", "--repl-diskless-sync-delay", "0"]);
        server.arg("--dir").arg(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        server.spawn().context("start redis-server")
    }

    /// Kills a primary, the n-th of those there are, and waits until its replica serves in its place; then starts it
    /// again, as a replica, and waits until it has caught up.
    pub async fn kill_primary(&mut self, n: usize) -> anyhow::Result<()> {
        let mut primaries = Vec::new();
        for (node, port) in self.ports.iter().enumerate() {
            if cli(*port, &["INFO", "replication"]).await?.contains("role:master") {
                primaries.push(node);
            }
        }
        let node = *primaries.get(n % primaries.len().max(1)).context("no primary")?;
        self.servers[node].kill()?;
        self.servers[node].wait()?;
        let other = self.ports[(node + 1) % NODES];
        let serves = async || Ok(cli(other, &["CLUSTER", "INFO"]).await?.contains("cluster_slots_ok:16384"));
        until("the failure is noticed", async || Ok(!serves().await?)).await?;
        until("a replica takes over", serves).await?;
        self.servers[node] = self.serve(self.ports[node])?;
        self.until_whole().await
    }

    /// Deletes everything.
    pub async fn flush(&self) -> anyhow::Result<()> {
        cli(self.ports[0], &["--cluster", "call", &self.address(), "FLUSHALL"]).await.map(drop)
    }

    /// Moves slots from one primary to another, with their keys, as an operator does; the n-th time from the n-th.
    pub async fn move_slots(&self, n: usize) -> anyhow::Result<()> {
        let mut ids = Vec::new();
        for port in &self.ports {
            if cli(*port, &["INFO", "replication"]).await?.contains("role:master") {
                ids.push(cli(*port, &["CLUSTER", "MYID"]).await?.trim().to_owned());
            }
        }
        ensure!(ids.len() == 3, "{} primaries", ids.len());
        let (from, to) = (&ids[n % 3], &ids[(n + 1) % 3]);
        let (address, reshard) = (self.address(), ["--cluster", "reshard"]);
        let how = ["--cluster-from", from, "--cluster-to", to, "--cluster-slots", "500", "--cluster-yes"];
        cli(self.ports[0], &[&reshard[..], &[&address], &how[..]].concat()).await?;
        self.until_whole().await
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Waits until every node serves or follows, and none is thought lost.
    async fn until_whole(&self) -> anyhow::Result<()> {
        for port in &self.ports {
            until("the nodes agree", async || {
                let ask = async |words: &[&str]| cli(*port, words).await.unwrap_or_default();
                let (info, role) = (ask(&["CLUSTER", "INFO"]).await, ask(&["INFO", "replication"]).await);
                let nodes = ask(&["CLUSTER", "NODES"]).await;
                Ok(info.contains("cluster_state:ok")
                    && info.contains("cluster_slots_ok:16384")
                    && nodes.lines().filter(|line| line.contains("slave")).count() == NODES / 2
                    && !nodes.contains("fail")
                    && (role.contains("role:master") || role.contains("master_link_status:up")))
            })
            .await?;
        }
        Ok(())
    }
}

async fn until(what: &str, ask: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + AGREE;
    while !ask().await? {
        ensure!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn cli(port: u16, words: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("redis-cli").args(["-p", &port.to_string()]).args(words).output().await?;
    let text = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        bail!("redis-cli {words:?}: {text} {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

/// Finds ports that are free, as are those of the nodes' own traffic, 10 000 above.
fn free_ports() -> anyhow::Result<Vec<u16>> {
    let (mut held, mut ports) = (Vec::new(), Vec::new());
    while ports.len() < NODES {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        if let Some(bus) = port.checked_add(10_000).and_then(|port| TcpListener::bind(("127.0.0.1", port)).ok()) {
            ports.push(port);
            held.push(bus);
        }
        held.push(listener);
    }
    Ok(ports)
}
