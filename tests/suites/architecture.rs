//! The invariants of ARCHITECTURE.md, each held by a test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the Rust files below a folder of the workspace, tests left out.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&tests::workspace().join(folder), &mut found);
    assert!(!found.is_empty(), "{folder} has no sources");
    let is_test = |path: &Path| {
        let ends = ["tests.rs", "fixture.rs"].iter().any(|name| path.ends_with(name));
        ends || path.components().any(|part| part.as_os_str() == "tests")
    };
    found.retain(|path| !is_test(path));
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Returns the part of a file before its in-module tests.
fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

const CRATES: [&str; 6] =
    ["chat-core/src", "chat-gateway/src", "chat-workers/src", "operator/src", "chatctl/src", "benches/src"];

/// Returns whether a line uses a word as a path or name of its own, not as the tail of a longer one.
fn uses(line: &str, word: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_:".contains(&byte);
    line.match_indices(word).any(|(at, _)| at == 0 || !is_name(line.as_bytes()[at - 1]) || !is_name(word.as_bytes()[0]))
}

/// Returns the lines of code below a folder that use one of these words, the excused files left out.
fn offenders(folder: &str, words: &[&str], but: &[&str]) -> Vec<String> {
    let excused = |path: &Path| but.iter().any(|name| path.ends_with(name));
    sources(folder)
        .into_iter()
        .filter(|(path, _)| !excused(path))
        .flat_map(|(path, text)| {
            let hit = |line: &&str| !line.trim_start().starts_with("//") && words.iter().any(|word| uses(line, word));
            code(&text)
                .lines()
                .filter(hit)
                .map(|line| format!("{}: {}", path.display(), line.trim()))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn a_file_has_one_idea() {
    let long: Vec<_> = CRATES
        .iter()
        .flat_map(|folder| sources(folder))
        .filter(|(_, text)| code(text).lines().count() > 400)
        .map(|(path, text)| format!("{}: {} lines", path.display(), code(&text).lines().count()))
        .collect();
    assert!(long.is_empty(), "files past 400 lines:\n{}", long.join("\n"));
}

#[test]
fn rooms_have_names() {
    let vague = ["mod.rs", "utils.rs", "util.rs", "common.rs", "helpers.rs", "helper.rs", "misc.rs"];
    let found: Vec<_> = CRATES
        .iter()
        .flat_map(|folder| sources(folder))
        .map(|(path, _)| path)
        .filter(|path| vague.iter().any(|name| path.ends_with(name)))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_pure_core_knows_no_runtime_no_engine_and_no_clock() {
    let runtime = ["tokio::", "async fn", ".await", "Instant", "SystemTime", "Clock"];
    let mut found = Vec::new();
    for pure in [
        "chat-workers/src/sequencer/decide",
        "chat-core/src/frame",
        "chat-gateway/src/session/machine",
        "operator/src/scaling",
    ] {
        found.extend(offenders(pure, &runtime, &[]));
    }
    let files = [
        "chat-workers/src/sequencer/decide.rs",
        "chat-workers/src/sequencer/batch.rs",
        "chat-workers/src/sequencer/replay.rs",
    ];
    for file in files {
        let text = fs::read_to_string(tests::workspace().join(file)).unwrap();
        let hits = code(&text).lines().filter(|line| runtime.iter().any(|word| line.contains(word)));
        found.extend(hits.map(|line| format!("{file}: {line}")));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn only_chat_core_knows_engines() {
    let clients = ["fjall::", "tantivy::", "rdkafka::", "scylla::", "redis::", "elasticsearch::"];
    let found: Vec<_> = ["chat-gateway/src", "chat-workers/src", "operator/src", "chatctl/src"]
        .iter()
        .flat_map(|folder| offenders(folder, &clients, &[]))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn gateways_and_workers_meet_only_through_ports() {
    let mut found = offenders("chat-gateway/src", &["chat_workers"], &[]);
    found.extend(offenders("chat-workers/src", &["chat_gateway"], &[]));
    found.extend(offenders("chat-core/src", &["chat_gateway", "chat_workers", "operator::"], &[]));
    // No process-wide registry through which two gateways of one process could meet.
    let shared = ["static ", "thread_local!", "OnceLock<", "LazyLock<"];
    found.extend(offenders("chat-gateway/src", &shared, &[]).into_iter().filter(|line| !line.contains("'static")));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_operator_compiles_no_engine_and_chatctl_no_kube_client() {
    let manifest = |name: &str| fs::read_to_string(tests::workspace().join(name).join("Cargo.toml")).unwrap();
    for (name, absent) in [
        ("operator", vec!["rdkafka", "scylla", "fjall", "tantivy", "redis"]),
        ("chatctl", vec!["kube", "k8s-openapi", "rdkafka", "scylla"]),
    ] {
        let text = manifest(name);
        let dependencies = text.split("[dependencies]").nth(1).unwrap_or("").split("\n[").next().unwrap_or("");
        for crate_name in absent {
            let named = |line: &&str| line.starts_with(crate_name) && !line.contains("optional = true");
            assert_eq!(dependencies.lines().find(named), None, "{name} depends on {crate_name}");
        }
    }
}

#[test]
fn clients_of_real_engines_are_compiled_only_on_request() {
    let text = fs::read_to_string(tests::workspace().join("chat-core/Cargo.toml")).unwrap();
    let is_client =
        |line: &&str| ["rdkafka", "redis", "scylla", "elasticsearch"].iter().any(|name| line.starts_with(name));
    let dependencies = text.split("[dependencies]").nth(1).unwrap_or("").split("\n[").next().unwrap_or("");
    let mut clients = dependencies.lines().filter(is_client).peekable();
    assert!(clients.peek().is_some(), "chat-core names no client of an engine");
    for line in clients {
        assert!(line.contains("optional = true"), "chat-core always compiles {line}");
    }
    assert!(!text.lines().any(|line| line.starts_with("default =")), "chat-core has default features");
}

#[test]
fn the_way_to_push_vendors_is_compiled_where_it_is_asked_for() {
    let manifest = |name: &str| fs::read_to_string(tests::workspace().join(name).join("Cargo.toml")).unwrap();
    let core = manifest("chat-core");
    for name in ["backon", "jsonwebtoken", "reqwest"] {
        let line = core.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.contains("optional = true"), "{line}");
    }
    assert!(!core.lines().any(|line| line.starts_with("default =")), "features of chat-core are off by default");
    for name in ["chatctl", "chat-gateway", "operator"] {
        let line = manifest(name).lines().find(|line| line.starts_with("chat-core")).map(str::to_owned);
        assert!(!line.is_some_and(|line| line.contains("push")), "{name} pushes by the vendors");
    }
}

#[test]
fn time_is_read_in_one_place() {
    let found: Vec<_> = CRATES
        .iter()
        .flat_map(|folder| offenders(folder, &["SystemTime::now", "Timestamp::now", "Utc::now"], &["clock.rs"]))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_queue_has_a_bound() {
    let found: Vec<_> =
        CRATES.iter().flat_map(|folder| offenders(folder, &["unbounded_channel", "mpsc::unbounded"], &[])).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn nothing_is_silenced_stubbed_or_ignored() {
    let words = ["#[allow(", "todo!(", "unimplemented!(", "#[ignore", "FIXME", "XXX"];
    let found: Vec<_> = CRATES.iter().flat_map(|folder| offenders(folder, &words, &[])).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_port_has_its_contract_suite() {
    for port in ["message_log", "message_store", "relay", "presence", "search", "push", "poll_positions"] {
        let contract = tests::workspace().join("chat-core/src").join(port).join("contract.rs");
        assert!(contract.exists(), "{} is missing", contract.display());
    }
}
