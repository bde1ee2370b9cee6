//! A search index that is away: chats go on, and what was said meanwhile is found once it is back.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tests::Rest;
use tests::cluster::{Cluster, Server, Setup, variable};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::{Recovery, survives, turn};

/// How long it is away.
const AWAY: Duration = Duration::from_mins(1);

/// How soon what waits in the log is found after that.
const FOUND_WITHIN: Duration = Duration::from_mins(1);

async fn user(cluster: &Cluster, name: &str) -> anyhow::Result<Rest> {
    let mut token = Command::new(tests::chatctl()?);
    token.args(["token", "--user", name, "--key-file"]).arg(cluster.key_file());
    let output = token.output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(Rest::new(&cluster.url, Some(String::from_utf8(output.stdout)?.trim().to_owned())))
}

async fn found(ann: &Rest, word: &str) -> anyhow::Result<Option<usize>> {
    let answer = ann.get(&format!("/v1/search?q={word}")).await?;
    Ok(answer.body["items"].as_array().map(Vec::len))
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_go_on_without_search_and_what_was_said_is_found_later() -> anyhow::Result<()> {
    let _turn = turn().await;
    let server = Server::of("elasticsearch", Path::new(&variable("ELASTICSEARCH_WORK")?));
    survives(&Setup::from_variables()?, "Elasticsearch away for a minute", Recovery::Slow, async |cluster, n| {
        let ann = user(cluster, "ann").await?;
        server.end().await?;
        let back = Instant::now() + AWAY;
        let word = format!("porcupine{n}");
        let group = json!({"type": "GROUP", "name": "outage", "members": ["bob"]});
        let chat = ann.post("/v1/chats", &group).await?;
        let chat = chat.body["chat_id"].as_str().with_context(|| format!("no chat: {chat:?}"))?.to_owned();
        let message = json!({"content": format!("a {word} in the outage")});
        let sent = ann.post(&format!("/v1/chats/{chat}/messages"), &message).await?;
        ensure!(sent.status.is_success(), "{sent:?}");
        let refused = ann.get(&format!("/v1/search?q={word}")).await?;
        ensure!(refused.body["code"] == "unavailable", "{refused:?}");
        sleep(back.saturating_duration_since(Instant::now())).await;
        server.start().await?;
        let deadline = Instant::now() + FOUND_WITHIN;
        while found(&ann, &word).await? != Some(1) {
            ensure!(Instant::now() < deadline, "{word} is not found");
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    })
    .await
}
