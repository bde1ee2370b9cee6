//! The binary under test, and a directory for it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

/// A manifest that every version takes.
pub(crate) fn manifest() -> String {
    format!(
        "apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata: {{name: demo}}
spec:
  version: {}
  engines: {{embedded: {{}}}}
",
        env!("CARGO_PKG_VERSION")
    )
}

/// A directory with a manifest, in which the binary runs.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    /// Makes one with this manifest.
    pub(crate) fn new(manifest: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("chatcluster.yaml"), manifest).expect("a written manifest");
        Self { dir }
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the data directory that is used unless another is named.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path().join(".chatcluster")
    }

    /// Returns the binary, to be run here without the tester's own settings.
    pub(crate) fn chatctl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chatctl"));
        command.args(arguments).current_dir(self.path()).env_remove("RUST_LOG").env("NO_COLOR", "1");
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.chatctl(arguments).output().expect("the binary runs")
    }

    /// Runs it to its end, which must be a success; returns what it printed.
    pub(crate) fn printed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?} ended with {output:?}");
        String::from_utf8(output.stdout).expect("text on standard output")
    }

    /// Runs it to its end, which must be a failure with this exit code; returns what it said.
    pub(crate) fn refused(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).expect("text on standard error");
        assert_eq!(output.status.code(), Some(code), "{arguments:?} said {said:?}");
        said
    }
}

/// How long anything may take before the test gives up, on a machine that is busy with something else.
const DEADLINE: Duration = Duration::from_mins(1);

/// Lines read ahead of the test.
const LINES: usize = 1024;

/// A stack that runs; killed when dropped.
pub(crate) struct Stack {
    child: Child,
    lines: Receiver<String>,
}

impl Stack {
    /// Starts one at a free port.
    pub(crate) fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut command = place.chatctl(&["local", "-f", "chatcluster.yaml", "--port", "0"]);
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().expect("the binary runs");
        let stdout = BufReader::new(child.stdout.take().expect("a piped standard output"));
        let (sender, lines) = sync_channel(LINES);
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// Returns the lines up to the first with this text in it, that one included.
    pub(crate) fn lines_until(&self, text: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        while lines.last().is_none_or(|line| !line.contains(text)) {
            let line = self.lines.recv_timeout(DEADLINE);
            lines.push(line.unwrap_or_else(|error| panic!("{error}: no {text:?} after {lines:?}")));
        }
        lines
    }

    /// Returns the next event of this kind, of a stack that was started with `--json`.
    pub(crate) fn event(&self, kind: &str) -> Value {
        let lines = self.lines_until(&format!(r#"{{"event":"{kind}""#));
        serde_json::from_str(&lines[lines.len() - 1]).expect("one JSON object a line")
    }

    /// Returns its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, and returns the exit code it ended with; none when the signal ended it.
    pub(crate) fn end(mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).expect("a process to signal");
        let mut code = None;
        eventually("it ends", || {
            let ended = self.child.try_wait().expect("a child to wait for");
            code = ended.and_then(|status| status.code());
            ended.is_some()
        });
        code
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().expect("a process to kill");
            self.child.wait().expect("a child to wait for");
        }
    }
}

/// Looks until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
