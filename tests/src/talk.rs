//! Small talk that the stories share: who is in which chat, saying something, waiting until it shows.

use std::time::Duration;

use anyhow::Context as _;
use chat_core::id::{ChatId, UserId};
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::rest::{Answer, Rest};
use crate::socket::Socket;

/// How long a projection of the log may take to show.
pub const SOON: Duration = Duration::from_secs(30);

/// Returns the id of a DIRECT chat.
pub fn direct(a: &str, b: &str) -> anyhow::Result<String> {
    Ok(ChatId::direct(&UserId::new(a)?, &UserId::new(b)?).to_string())
}

/// Reads until the answer is as wanted, and returns it.
pub async fn eventually(rest: &Rest, path: &str, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    let end = Instant::now() + SOON;
    loop {
        let answer = rest.get(path).await?;
        if answer.status == 200 && wanted(&answer.body) {
            return Ok(answer.body);
        }
        anyhow::ensure!(Instant::now() < end, "not in time: {path}: {answer:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Makes a call that succeeds, and returns its body.
pub async fn must(rest: &Rest, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
    let answer = rest.call(method.clone(), path, body).await?;
    anyhow::ensure!(answer.status.is_success(), "{method} {path}: {answer:?}");
    Ok(answer.body)
}

/// Returns the status and code of a call that is refused.
pub fn refusal(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.body["code"].as_str().unwrap_or_default())
}

/// Makes a group and returns its id.
pub async fn group(rest: &Rest, members: &[&str]) -> anyhow::Result<String> {
    let body = json!({ "type": "GROUP", "name": "club", "members": members });
    let chat = must(rest, Method::POST, "/v1/chats", &body).await?;
    Ok(chat["chat_id"].as_str().context("no chat_id")?.to_owned())
}

/// Sends, and returns the message as it comes back to its sender. `d` is that of the frame.
pub async fn say(session: &mut Socket, d: Value) -> anyhow::Result<Value> {
    let message_id = session.ack("send", d).await?["message_id"].clone();
    loop {
        let message = session.push("message").await?;
        if message["message_id"] == message_id {
            return Ok(message);
        }
    }
}

/// The lines of a command's `--json` output.
pub fn objects(output: &str) -> anyhow::Result<Vec<Value>> {
    output.lines().map(|line| serde_json::from_str(line).with_context(|| format!("read {line}"))).collect()
}
