//! What `chatctl local` tells, for people or, with `--json`, one object a line for scripts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use chat_core::id::{ChatId, UserId};
use serde::Serialize;

use super::settings::Replacement;
use super::snapshot::Snapshot;
use super::status_line::StatusLine;
use super::watch::Block;
use crate::control::GatewayInfo;
use crate::output::{self, STRONG};

/// Users that get a token at the start, to try it with.
pub(crate) const DEMO_USERS: [&str; 2] = ["ann", "bob"];

/// One thing that happened.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// The manifest is read and good.
    Starting {
        /// Version of this binary.
        version: &'a str,
        /// Name of the `ChatCluster`.
        name: &'a str,
        /// Where it was read.
        manifest: &'a Path,
        /// Where the data is.
        data_dir: &'a Path,
    },
    /// A part of the manifest is replaced.
    Replaced(&'a Replacement),
    /// Something may surprise.
    Warning {
        /// What, in a sentence.
        message: &'a str,
    },
    /// A gateway takes connections.
    Gateway(&'a GatewayInfo),
    /// The workers run.
    Workers {
        /// Their admin port: health, metrics, status.
        admin_url: &'a str,
    },
    /// A token for a user of the demo.
    Token {
        /// Who.
        user: &'a str,
        /// It.
        token: &'a str,
    },
    /// Clients may come.
    Ready(Ready<'a>),
    /// The number of gateways is about to change.
    Scaling {
        /// Gateways that are to stay, now.
        gateways: usize,
        /// Gateways to get to.
        desired: u32,
        /// Connections of all gateways.
        connections: u64,
        /// Why.
        reason: &'a str,
    },
    /// A gateway begins to move its connections off.
    Draining {
        /// Which.
        gateway: &'a str,
        /// Connections it holds.
        connections: usize,
        /// Seconds within which it is empty.
        deadline_s: u64,
        /// Connections asked to move per second, to begin with.
        reconnects_per_s: u32,
    },
    /// A gateway is empty, or its time was up, and it has stopped.
    Drained {
        /// Which.
        gateway: &'a str,
        /// Connections that were closed because the time was up.
        left: usize,
        /// Milliseconds since its drain began.
        after_ms: u64,
    },
    /// A gateway that moved its connections off takes new ones again.
    Withdrawn {
        /// Which.
        gateway: &'a str,
    },
    /// The workers do not go on with a partition by themselves.
    Blocked(&'a Block),
    /// How the stack is, every so often.
    Status(&'a Snapshot),
    /// The end has begun: nobody new is let in, requests under way are finished.
    Stopping,
    /// All is written and closed.
    Stopped,
}

/// Where clients may come to.
#[derive(Debug, Serialize)]
pub(crate) struct Ready<'a> {
    /// Address of the REST interface.
    pub(crate) url: String,
    /// Address of the WebSocket.
    pub(crate) ws_url: String,
    /// Address of the demo page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) demo_url: Option<String>,
    /// File with the bearer token of the admin ports.
    pub(crate) admin_token_file: &'a Path,
    /// Milliseconds since the process started.
    pub(crate) after_ms: u64,
    /// How to try it, a command each; not for scripts.
    #[serde(skip)]
    pub(crate) commands: Vec<String>,
}

/// Returns the address that a client on this machine uses for a listener, with this scheme.
pub(crate) fn url(scheme: &str, listener: SocketAddr) -> String {
    let ip = match listener.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    format!("{scheme}://{}", SocketAddr::new(ip, listener.port()))
}

/// Returns commands that try a stack out, each to be pasted as it is: ann opens a chat with bob and writes, bob reads,
/// then listens.
pub(crate) fn commands(data_dir: &Path, url: &str, ws_url: &str) -> anyhow::Result<Vec<String>> {
    // As it was called, so that it works without being on the path.
    let chatctl = shell_word(&std::env::args().next().unwrap_or_else(|| "chatctl".to_owned()));
    let dir = shell_word(&data_dir.to_string_lossy());
    let [ann, bob] = DEMO_USERS;
    let chat = ChatId::direct(&UserId::new(ann)?, &UserId::new(bob)?);
    let bearer = |user: &str| format!("-H \"Authorization: Bearer $({chatctl} token --data-dir {dir} --user {user})\"");
    let chats = format!("{url}/v1/chats");
    Ok(vec![
        format!(r#"curl {} --json '{{"type":"DIRECT","members":["{bob}"]}}' {chats}"#, bearer(ann)),
        format!(r#"curl {} --json '{{"content":"hello"}}' {chats}/{chat}/messages"#, bearer(ann)),
        format!("curl {} {chats}/{chat}/messages", bearer(bob)),
        format!("websocat {} {ws_url}", bearer(bob)),
    ])
}

/// Returns a text as a shell takes it for one word.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Tells of events in the way that was asked for, above the status line.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    json: bool,
    line: StatusLine,
}

impl Report {
    /// Makes a report for scripts or for people.
    pub(crate) fn new(json: bool, line: StatusLine) -> Self {
        Self { json, line }
    }

    /// Tells of one event.
    pub(crate) fn tell(&self, event: &Event<'_>) -> anyhow::Result<()> {
        self.line.aside(|| if self.json { output::json(event) } else { for_people(event) })
    }
}

fn for_people(event: &Event<'_>) -> anyhow::Result<()> {
    match event {
        Event::Starting { version, name, manifest, data_dir } => output::line(&format!(
            "{STRONG}chatctl {version}{STRONG:#} runs {name} of {} with its data in {}",
            manifest.display(),
            data_dir.display()
        )),
        Event::Replaced(Replacement { part, by }) => output::line(&format!("  {part} -> {by}")),
        Event::Warning { message } => {
            output::warning(message);
            Ok(())
        }
        Event::Gateway(gateway) => {
            output::line(&format!("  {} at {}, admin port at {}", gateway.name, gateway.url, gateway.admin_url))
        }
        Event::Workers { admin_url } => output::line(&format!("  workers, admin port at {admin_url}")),
        Event::Token { user, token } => output::line(&format!("  token of {user}: {token}")),
        Event::Ready(ready) => {
            let after = seconds(ready.after_ms);
            output::line(&format!("{STRONG}ready after {after:.1} s: {} and {}{STRONG:#}", ready.url, ready.ws_url))?;
            output::line(&format!("  bearer token of the admin ports: {}", ready.admin_token_file.display()))?;
            if let Some(demo_url) = &ready.demo_url {
                output::line(&format!("try it:\n  demo page at {STRONG}{demo_url}{STRONG:#}"))?;
            }
            if !ready.commands.is_empty() {
                output::line("in another terminal:")?;
            }
            ready.commands.iter().try_for_each(|command| output::line(&format!("  {command}")))?;
            output::line("Ctrl-C ends it")
        }
        Event::Scaling { gateways, desired, connections, reason } => output::line(&format!(
            "scaling from {gateways} to {desired} gateways at {connections} connections: {reason}"
        )),
        Event::Draining { gateway, connections, deadline_s, reconnects_per_s } => output::line(&format!(
            "  {gateway} moves {connections} connections off, up to {reconnects_per_s} a second, within {deadline_s} s"
        )),
        Event::Drained { gateway, left: 0, after_ms } => {
            output::line(&format!("  {gateway} is empty after {:.1} s and has stopped", seconds(*after_ms)))
        }
        Event::Drained { gateway, left, after_ms } => output::line(&format!(
            "  {gateway} has stopped after {:.1} s; {left} connections that were left were closed",
            seconds(*after_ms)
        )),
        Event::Withdrawn { gateway } => output::line(&format!("  {gateway} takes connections again")),
        Event::Blocked(Block { role, partition, reason }) => {
            output::warning(&format!("the {role} does not go on with partition {partition}: {reason}"));
            Ok(())
        }
        Event::Status(snapshot) => output::line(&snapshot.line()),
        Event::Stopping => output::line("stopping; Ctrl-C again ends it at once"),
        Event::Stopped => output::line("stopped; the data stays"),
    }
}

fn seconds(millis: u64) -> f32 {
    Duration::from_millis(millis).as_secs_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_reached_by_the_loopback_one() {
        for (listener, expected) in [
            ("127.0.0.1:80", "ws://127.0.0.1:80"),
            ("0.0.0.0:8080", "ws://127.0.0.1:8080"),
            ("[::]:8080", "ws://[::1]:8080"),
            ("192.0.2.1:9", "ws://192.0.2.1:9"),
        ] {
            assert_eq!(url("ws", listener.parse().unwrap()), expected);
        }
    }

    #[test]
    fn a_word_is_quoted_only_where_a_shell_would_split_it() {
        for (text, expected) in [
            ("./.chatcluster", "./.chatcluster"),
            ("/home/jane doe/c", "'/home/jane doe/c'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), expected);
        }
    }

    #[test]
    fn scripts_get_flat_objects() {
        let replaced = Replacement { part: "kafka.external".into(), by: "embedded log".into() };
        let json = serde_json::to_string(&Event::Replaced(&replaced)).unwrap();
        assert_eq!(json, r#"{"event":"replaced","part":"kafka.external","by":"embedded log"}"#);
    }
}
