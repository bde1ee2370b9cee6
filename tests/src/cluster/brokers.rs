//! Three Kafka brokers of which one may be lost: they are there while this is.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::Server;
use crate::workspace;

/// The brokers.
#[derive(Debug)]
pub struct Brokers {
    /// Where they are.
    pub bootstrap: Vec<String>,
    work: PathBuf,
}

impl Drop for Brokers {
    fn drop(&mut self) {
        let script = workspace().join("tests/engines/kafka/three-down.sh");
        if let Err(error) = std::process::Command::new(script).stderr(Stdio::null()).status() {
            eprintln!("the three brokers go on: {error}");
        }
    }
}

impl Brokers {
    /// Starts them, and waits until they answer.
    pub async fn start() -> anyhow::Result<Self> {
        let script = workspace().join("tests/engines/kafka/three.sh");
        let output = Command::new(script).stdin(Stdio::null()).output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        let mut lines = text.lines();
        let mut line = || lines.next().map(str::to_owned).context("three.sh says too little");
        let bootstrap = line()?.split(',').map(str::to_owned).collect();
        Ok(Self { bootstrap, work: line()?.into() })
    }

    /// Returns the n-th broker.
    pub fn broker(&self, n: usize) -> Server {
        Server::one_of("kafka", &format!("broker-{}", n % 3 + 1), "three.sh", &self.work)
    }
}
