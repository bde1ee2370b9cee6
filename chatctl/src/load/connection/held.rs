//! A session over plain HTTP: long polls or an event stream bring frames, `POST /v1/frames` takes them.
//!
//! What breaks goes on from the last cursor, at whichever gateway answers; only when that fails for long does the
//! connection end and begin anew.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use chat_core::frame::client::Envelope;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{End, Heard, Shared};

/// How long a poll is held, in seconds.
const WAIT_S: u64 = 20;

/// An answer that has not come by then will not: the wait, and time to read the store.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What goes wrong for this long ends the connection.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// First and longest pause after a failure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Frames that wait to be taken, and to be posted: more than a session has in flight.
const QUEUE: usize = 1024;

/// Largest answer: 500 frames or 1 MiB, escaped.
const MAX_ANSWER: usize = 16 << 20;

type Item = Result<Heard, End>;

/// A session without a socket; its requests end when it is dropped.
#[derive(Debug)]
pub(in crate::load) struct Held {
    heard: mpsc::Receiver<Item>,
    posts: mpsc::Sender<String>,
    _tasks: JoinSet<()>,
}

impl Held {
    /// Listens by long polls.
    pub(super) fn poll(shared: &Shared, token: String) -> Self {
        Self::start(shared, token, |caller, heard| async move { listen(&caller, &heard, Caller::poll).await })
    }

    /// Listens to an event stream.
    pub(super) fn stream(shared: &Shared, token: String) -> Self {
        Self::start(shared, token, |caller, heard| async move { listen(&caller, &heard, Caller::stream).await })
    }

    fn start<F>(shared: &Shared, token: String, listen: impl FnOnce(Caller, mpsc::Sender<Item>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let caller = Caller { authority: Arc::clone(&shared.target.authority), token, client: shared.rest.client() };
        let (to_hear, heard) = mpsc::channel(QUEUE);
        let (posts, to_post) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(caller.clone(), to_hear.clone()));
        tasks.spawn(async move { caller.post_all(to_post, to_hear).await });
        Self { heard, posts, _tasks: tasks }
    }

    pub(super) async fn next(&mut self) -> Item {
        self.heard.recv().await.unwrap_or_else(|| Err(End::broken("ended")))
    }

    pub(super) async fn write(&mut self, frames: Vec<String>) -> Result<(), End> {
        for frame in frames {
            self.posts.send(frame).await.map_err(|_| End::broken("ended"))?;
        }
        Ok(())
    }
}

/// Why a request brought nothing.
enum Failure {
    /// The server has gone, or says that it may succeed later.
    Passing(anyhow::Error),
    /// The session is not wanted.
    Final(String),
    /// Nobody listens any more.
    Unheard,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Passing(error.into())
    }
}

/// Makes the requests of one session.
#[derive(Clone)]
struct Caller {
    authority: Arc<str>,
    token: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What a long poll or a posted frame is answered with.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    frames: Vec<&'a RawValue>,
    cursor: Option<String>,
}

/// Listens, request after request, each from the cursor that the last one led to.
async fn listen(
    caller: &Caller,
    heard: &mpsc::Sender<Item>,
    request: impl AsyncFn(&Caller, &mut Option<String>, &mpsc::Sender<Item>) -> Result<(), Failure>,
) {
    let mut cursor = None;
    let mut failing_since = None;
    let mut pause = BACK_OFF.0;
    loop {
        let before = cursor.clone();
        let failure = request(caller, &mut cursor, heard).await;
        if failure.is_ok() || cursor != before {
            failing_since = None;
            pause = BACK_OFF.0;
        }
        let item = match failure {
            Ok(()) => continue,
            Err(Failure::Unheard) => return,
            Err(Failure::Final(reason)) => Err(End::Stop(reason)),
            Err(Failure::Passing(error)) => {
                let since = *failing_since.get_or_insert_with(Instant::now);
                let reason = format!("held request: {error:.80}");
                if since.elapsed() > GIVE_UP_AFTER { Err(End::broken(reason)) } else { Ok(Heard::Resumed(reason)) }
            }
        };
        let is_over = item.is_err();
        if heard.send(item).await.is_err() || is_over {
            return;
        }
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(BACK_OFF.1);
    }
}

/// Hands over a frame. A `reconnect` asks for nothing here: the next request goes to another gateway by itself.
async fn hear(heard: &mpsc::Sender<Item>, frame: &str) -> Result<(), Failure> {
    let is_move = frame.starts_with(r#"{"type":"reconnect""#);
    let item = if is_move { Heard::Resumed("moved".to_owned()) } else { Heard::Frame(frame.into()) };
    heard.send(Ok(item)).await.map_err(|_| Failure::Unheard)
}

impl Caller {
    async fn call(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        extra: Option<(&'static str, &str)>,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.authority))
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, accept);
        if let Some((name, value)) = extra {
            request = request.header(name, value);
        }
        let answer = timeout(ANSWER_WITHIN, self.client.request(request.body(Full::new(body))?));
        Ok(answer.await.context("no answer in time")??)
    }

    /// Asks once.
    async fn poll(&self, cursor: &mut Option<String>, heard: &mpsc::Sender<Item>) -> Result<(), Failure> {
        let path = match &*cursor {
            Some(cursor) => format!("/v1/events?wait={WAIT_S}&cursor={cursor}"),
            None => "/v1/events?wait=0".to_owned(),
        };
        let answer = check(self.call(Method::GET, &path, "application/json", None, Bytes::new()).await?)?;
        let body = collect(answer).await?;
        let answer: Answer<'_> = serde_json::from_slice(&body)?;
        for frame in answer.frames {
            hear(heard, frame.get()).await?;
        }
        *cursor = answer.cursor;
        Ok(())
    }

    /// Opens a stream and reads it to its end.
    async fn stream(&self, cursor: &mut Option<String>, heard: &mpsc::Sender<Item>) -> Result<(), Failure> {
        let from = cursor.clone();
        let last = from.as_deref().map(|cursor| ("last-event-id", cursor));
        let answer = self.call(Method::GET, "/v1/events", "text/event-stream", last, Bytes::new()).await?;
        let mut body = check(answer)?.into_body();
        let mut text = Vec::new();
        // A comment comes every 15 s: a stream that is silent for longer is dead.
        while let Some(read) = timeout(ANSWER_WITHIN, body.frame()).await.context("the stream is silent")? {
            text.extend_from_slice(read?.data_ref().map_or(&[], |data| &data[..]));
            while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = text.drain(..end + 2).collect();
                for line in std::str::from_utf8(&event)?.lines() {
                    match line.split_once(':') {
                        Some(("data", frame)) => hear(heard, frame.trim_start()).await?,
                        Some(("id", id)) => *cursor = Some(id.trim().to_owned()),
                        _ => {}
                    }
                }
            }
            if text.len() > MAX_ANSWER {
                return Err(Failure::Passing(anyhow!("an event without an end")));
            }
        }
        Err(Failure::Passing(anyhow!("the stream ended")))
    }

    /// Posts frames one after the other, so that the sends of a session keep their order.
    async fn post_all(self, mut frames: mpsc::Receiver<String>, heard: mpsc::Sender<Item>) {
        while let Some(frame) = frames.recv().await {
            let posted = match self.post(&frame, &heard).await {
                Err(Failure::Passing(error)) => hear(&heard, &unknown(&frame, &error)).await,
                posted => posted,
            };
            match posted {
                Ok(()) => {}
                Err(Failure::Final(reason)) => {
                    let told = heard.send(Err(End::Stop(reason))).await;
                    return tracing::debug!(told = told.is_ok(), "the session is not wanted");
                }
                Err(Failure::Unheard | Failure::Passing(_)) => return,
            }
        }
    }

    async fn post(&self, frame: &str, heard: &mpsc::Sender<Item>) -> Result<(), Failure> {
        let envelope: Envelope<'_> = serde_json::from_str(frame)?;
        if envelope.kind == "ping" {
            // Each request is itself a sign of life, and has its own time.
            return hear(heard, &json!({ "id": envelope.id, "type": "pong" }).to_string()).await;
        }
        let body = frame.to_owned().into();
        let answer = self.call(Method::POST, "/v1/frames", "application/json", None, body).await?;
        let status = answer.status();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let problem = collect(answer).await?;
            let problem: &RawValue = serde_json::from_slice(&problem)?;
            return hear(heard, &json!({ "id": envelope.id, "type": "error", "d": problem }).to_string()).await;
        }
        let body = collect(check(answer)?).await?;
        let answer: Answer<'_> = serde_json::from_slice(&body)?;
        for frame in answer.frames {
            hear(heard, frame.get()).await?;
        }
        Ok(())
    }
}

/// Makes the reply to a frame whose outcome is unknown.
fn unknown(frame: &str, error: &anyhow::Error) -> String {
    let id = serde_json::from_str::<Envelope<'_>>(frame).ok().and_then(|envelope| envelope.id);
    let fault = json!({ "code": "unavailable", "message": error.to_string(), "temporary": true });
    json!({ "id": id, "type": "error", "d": fault }).to_string()
}

/// Turns away what is no answer.
fn check(answer: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
    match answer.status() {
        StatusCode::OK => Ok(answer),
        status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            Err(Failure::Final(format!("held request: HTTP {}", status.as_u16())))
        }
        status => Err(Failure::Passing(anyhow!("HTTP {}", status.as_u16()))),
    }
}

async fn collect(answer: Response<Incoming>) -> anyhow::Result<Bytes> {
    let body = timeout(ANSWER_WITHIN, Limited::new(answer.into_body(), MAX_ANSWER).collect());
    let body = body.await.context("no whole answer in time")?;
    Ok(body.map_err(|error| anyhow!(error))?.to_bytes())
}
