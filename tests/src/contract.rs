//! The served documents as a judge: what goes over the wire has to be what they tell, and all that they tell has to be
//! seen on the wire.
//!
//! Schemas of the documents are open, because clients ignore what they do not know. Here they are closed: a field that
//! is sent and not described is a defect of the document.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::{HeaderMap, Method};
use serde_json::{Map, Value, json};

use crate::rest::{Answer, Rest};
use crate::socket::Recorded;

/// The media type of failed requests.
const PROBLEM: &str = "application/problem+json";

/// The two documents, and what was seen of them.
#[derive(Debug)]
pub struct Contract {
    openapi: Value,
    asyncapi: Value,
    seen: Mutex<BTreeSet<String>>,
}

/// One operation of the OpenAPI document.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Its method.
    pub method: Method,
    /// Its path, parameters in braces.
    pub path: String,
    /// All that the document says of it.
    pub described: Value,
}

/// How an operation is called.
#[derive(Debug, Clone, Default)]
pub struct Call {
    operation: String,
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    besides: Vec<(String, String)>,
    body: Value,
    is_wrong: bool,
}

impl Call {
    /// Calls an operation.
    pub fn of(operation: &str) -> Self {
        Self { operation: operation.to_owned(), ..Self::default() }
    }

    /// Fills in a parameter of the path.
    #[must_use]
    pub fn at(mut self, name: &str, value: impl Into<String>) -> Self {
        self.path.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a parameter of the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a header that the document does not describe and the server is to ignore.
    #[must_use]
    pub fn besides(mut self, name: &str, value: impl Into<String>) -> Self {
        self.besides.push((name.to_owned(), value.into()));
        self
    }

    /// Returns whether the call names a chat.
    pub fn is_about_a_chat(&self) -> bool {
        let named = self.path.iter().chain(&self.query).any(|(name, _)| name == "chat_id");
        named || !self.body["d"]["chat_id"].is_null() || !self.body["d"]["have"].is_null()
    }

    /// Sends a body.
    #[must_use]
    pub fn body(self, body: Value) -> Self {
        Self { body, ..self }
    }

    /// Says that the document does not allow this request: it has to tell that as the server does.
    #[must_use]
    pub fn wrong(self) -> Self {
        Self { is_wrong: true, ..self }
    }

    fn target(&self, operation: &Operation) -> anyhow::Result<String> {
        let mut path = operation.path.clone();
        for (name, value) in &self.path {
            let (before, after) = path.split_once(&format!("{{{name}}}")).context("the path has no such parameter")?;
            path = format!("{before}{}{after}", encoded(value));
        }
        ensure!(!path.contains('{'), "{path} lacks a parameter");
        let query: Vec<String> = self.query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        Ok(if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) })
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Lets no object have more fields than it is described with. One that is described without any is any object.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(close);
            let is_described = fields.get("type") == Some(&json!("object")) && fields.contains_key("properties");
            if is_described && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Says what is wrong with a value, by a schema that may point into a document.
fn judge(document: &Value, schema: &Value, value: &Value) -> anyhow::Result<()> {
    let whole = json!({ "allOf": [schema], "components": document["components"] });
    let validator = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(true)
        .build(&whole)
        .map_err(|error| anyhow::anyhow!("the document has a schema that is none: {error}"))?;
    let wrong: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{} at {}", error, error.instance_path())).collect();
    ensure!(wrong.is_empty(), "not as described: {}\nin {value}", wrong.join("; "));
    Ok(())
}

/// Reads the text of a parameter or header as its schema means it.
fn typed(document: &Value, schema: &Value, text: &str) -> Value {
    let pointed = schema["$ref"].as_str().and_then(|target| document.pointer(target.trim_start_matches('#')));
    match pointed.unwrap_or(schema)["type"].as_str() {
        Some("integer" | "number" | "boolean") => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        _ => json!(text),
    }
}

fn media_type(headers: &HeaderMap) -> anyhow::Result<Option<String>> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(None) };
    Ok(value.to_str()?.split(';').next().map(|essence| essence.trim().to_owned()))
}

impl Contract {
    /// Fetches the documents that a stack serves, as anybody may: without a token.
    pub async fn fetch(url: &str) -> anyhow::Result<Self> {
        let rest = Rest::new(url, None);
        let mut documents = Vec::new();
        for name in ["openapi", "asyncapi"] {
            let answer = rest.get(&format!("/v1/{name}.json")).await?;
            ensure!(answer.status == 200 && answer.headers[CONTENT_TYPE] == "application/json", "{name}: {answer:?}");
            let mut document = answer.body;
            close(&mut document);
            documents.push(document);
        }
        let [openapi, asyncapi] = <[Value; 2]>::try_from(documents).map_err(|_| anyhow::anyhow!("two documents"))?;
        Ok(Self { openapi, asyncapi, seen: Mutex::default() })
    }

    /// Reads a document of frames that is not served, such as the committed one.
    pub fn of_frames(mut asyncapi: Value) -> Self {
        close(&mut asyncapi);
        Self { openapi: Value::Null, asyncapi, seen: Mutex::default() }
    }

    /// Returns the operations by their ids.
    pub fn operations(&self) -> anyhow::Result<Vec<(String, Operation)>> {
        let mut found = Vec::new();
        for (path, methods) in self.openapi["paths"].as_object().context("no paths")? {
            for (method, described) in methods.as_object().context("no methods")? {
                let id = described["operationId"].as_str().context("an operation has no id")?.to_owned();
                let method = Method::from_bytes(method.to_uppercase().as_bytes())?;
                found.push((id, Operation { method, path: path.clone(), described: described.clone() }));
            }
        }
        Ok(found)
    }

    fn operation(&self, id: &str) -> anyhow::Result<Operation> {
        let found = self.operations()?.into_iter().find(|(found, _)| found == id);
        Ok(found.with_context(|| format!("the document has no operation {id}"))?.1)
    }

    fn see(&self, what: String) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(what);
    }

    /// Returns the operations with their good statuses, and the messages of frames, that were not seen.
    pub fn unseen(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut all = BTreeSet::new();
        for (id, operation) in self.operations()? {
            let statuses = operation.described["responses"].as_object().context("no responses")?;
            all.extend(statuses.keys().filter(|status| status.as_str() < "300").map(|status| format!("{id} {status}")));
        }
        all.extend(self.asyncapi["components"]["messages"].as_object().context("no messages")?.keys().cloned());
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(all.difference(&seen).cloned().collect())
    }

    /// Calls an operation, and checks request and answer against the document.
    pub async fn call(&self, rest: &Rest, call: &Call) -> anyhow::Result<Answer> {
        let operation = self.operation(&call.operation)?;
        let told = self.check_request(&operation, call);
        match (told, call.is_wrong) {
            (told, false) => told.with_context(|| format!("the request of {call:?}"))?,
            (Ok(()), true) => bail!("the document allows {call:?}"),
            (Err(_), true) => {}
        }
        let target = call.target(&operation)?;
        let headers: Vec<(&str, &str)> =
            call.headers.iter().chain(&call.besides).map(|(name, value)| (&**name, &**value)).collect();
        let answer = rest.call_with(operation.method.clone(), &target, &headers, &call.body).await?;
        let context = || format!("{} {target}: {answer:?}", operation.method);
        self.check_answer(&call.operation, &operation, &answer).with_context(context)?;
        if call.is_wrong {
            ensure!(answer.status.is_client_error(), "the server allows {}", context());
        }
        Ok(answer)
    }

    fn check_request(&self, operation: &Operation, call: &Call) -> anyhow::Result<()> {
        let parameters = operation.described["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (place, given) in [("path", &call.path), ("query", &call.query), ("header", &call.headers)] {
            let described: Vec<&Value> = parameters.iter().filter(|parameter| parameter["in"] == place).collect();
            for (name, text) in given {
                let named =
                    |parameter: &&&Value| parameter["name"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(name));
                let parameter = described.iter().find(named).with_context(|| format!("no {place} parameter {name}"))?;
                let value = typed(&self.openapi, &parameter["schema"], text);
                judge(&self.openapi, &parameter["schema"], &value).with_context(|| format!("{place} {name}"))?;
            }
            for parameter in described.iter().filter(|parameter| parameter["required"] == true) {
                let is_given = given.iter().any(|(name, _)| parameter["name"] == name.as_str());
                ensure!(is_given, "the {place} parameter {} is required", parameter["name"]);
            }
        }
        match (&operation.described["requestBody"]["content"]["application/json"]["schema"], &call.body) {
            (Value::Null, Value::Null) => Ok(()),
            (Value::Null, body) => bail!("no body is described, but it has {body}"),
            (schema, body) => judge(&self.openapi, schema, body),
        }
    }

    /// Checks an answer against what the document says of an operation.
    pub fn check_answer(&self, id: &str, operation: &Operation, answer: &Answer) -> anyhow::Result<()> {
        let status = answer.status.as_u16();
        let described = &operation.described["responses"][status.to_string()];
        ensure!(described.is_object(), "the status {status} is not described");
        self.check_headers(described, &answer.headers)?;
        let media_type = media_type(&answer.headers)?;
        match (described["content"].as_object(), media_type.as_deref()) {
            (None, None) => ensure!(answer.body.is_null(), "a body that is not described"),
            (None, Some(given)) => bail!("{given} where no body is described"),
            (Some(_), None) => bail!("no body"),
            (Some(content), Some(given)) => {
                let content = content.get(given).with_context(|| format!("{given} is not described"))?;
                judge(&self.openapi, &content["schema"], &answer.body)?;
                if given == PROBLEM {
                    check_problem(answer)?;
                }
            }
        }
        for frame in answer.body["frames"].as_array().into_iter().flatten() {
            self.check_frame(frame, None)?;
        }
        self.see(format!("{id} {status}"));
        Ok(())
    }

    fn check_headers(&self, described: &Value, headers: &HeaderMap) -> anyhow::Result<()> {
        for (name, header) in described["headers"].as_object().into_iter().flatten() {
            let target = header["$ref"].as_str().unwrap_or_default();
            let header = self.openapi.pointer(target.trim_start_matches('#')).unwrap_or(header);
            let Some(value) = headers.get(name.as_str()) else {
                ensure!(header["required"] != true, "the header {name} is missing");
                continue;
            };
            judge(&self.openapi, &header["schema"], &typed(&self.openapi, &header["schema"], value.to_str()?))
                .with_context(|| format!("header {name}"))?;
        }
        let is_kept = headers.get(CACHE_CONTROL).is_none_or(|value| value != "no-store");
        ensure!(!is_kept, "an answer may be kept by a cache");
        Ok(())
    }

    /// Checks one frame from the server; `request` is the type of the frame that it replies to, where it is known.
    pub fn check_frame(&self, frame: &Value, request: Option<&str>) -> anyhow::Result<()> {
        let kind = frame["type"].as_str().context("a frame without a type")?;
        let candidates: Vec<String> = match (frame.get("id"), request) {
            (None, _) => vec![format!("server.{kind}")],
            (Some(_), Some(request)) => self.replies_to(request)?,
            (Some(_), None) => {
                let messages = self.asyncapi["components"]["messages"].as_object().context("no messages")?;
                messages.keys().filter(|name| name.starts_with("reply.")).cloned().collect()
            }
        };
        let mut wrong = Vec::new();
        for name in &candidates {
            match self.check_message(name, frame) {
                Ok(()) => {
                    self.see(name.clone());
                    return Ok(());
                }
                Err(error) => wrong.push(format!("{name}: {error:#}")),
            }
        }
        bail!("a frame that is not described: {frame}: {}", wrong.join("; "))
    }

    fn replies_to(&self, request: &str) -> anyhow::Result<Vec<String>> {
        let operation = &self.asyncapi["operations"][format!("client.{request}")];
        let messages = operation["reply"]["messages"].as_array().with_context(|| format!("{request} has no reply"))?;
        let name =
            |message: &Value| message["$ref"].as_str().and_then(|target| target.rsplit('/').next()).map(str::to_owned);
        messages.iter().map(|message| name(message).context("a reply without a name")).collect()
    }

    /// Checks a frame from a client.
    pub fn check_request_frame(&self, frame: &Value) -> anyhow::Result<()> {
        let name = format!("client.{}", frame["type"].as_str().context("a frame without a type")?);
        self.check_message(&name, frame)?;
        self.see(name);
        Ok(())
    }

    /// Checks a frame against one message of the document.
    pub fn check_message(&self, name: &str, frame: &Value) -> anyhow::Result<()> {
        let message = &self.asyncapi["components"]["messages"][name];
        ensure!(message.is_object(), "the document has no message {name}");
        judge(&self.asyncapi, &message["payload"], frame)
    }

    /// Checks all that went over a socket. What its client sent as mere text has to be wrong by the document too.
    pub fn check_session(&self, recorded: &[Recorded]) -> anyhow::Result<()> {
        let mut asked: Map<String, Value> = Map::new();
        for recorded in recorded {
            match recorded {
                Recorded::Sent(frame) => {
                    if let Some(id) = frame.get("id") {
                        asked.insert(id.to_string(), frame["type"].clone());
                    }
                    self.check_request_frame(frame).with_context(|| format!("sent {frame}"))?;
                }
                Recorded::SentWrong(text) => {
                    let frame: Value = serde_json::from_str(text).unwrap_or_default();
                    ensure!(self.check_request_frame(&frame).is_err(), "the document allows {frame}");
                    if let Some(id) = frame.get("id") {
                        asked.insert(id.to_string(), Value::Null);
                    }
                }
                Recorded::Received(frame) => {
                    // A number gets one reply, and only if it was asked for.
                    let request = match frame.get("id") {
                        Some(id) => Some(asked.remove(&id.to_string()).with_context(|| format!("unasked {frame}"))?),
                        None => None,
                    };
                    self.check_frame(frame, request.as_ref().and_then(Value::as_str))?;
                }
            }
        }
        ensure!(asked.is_empty(), "no reply to {asked:?}");
        Ok(())
    }

    /// Returns the types of frames that clients send.
    pub fn client_frames(&self) -> Vec<String> {
        let messages = self.asyncapi["components"]["messages"].as_object().into_iter().flatten();
        messages.filter_map(|(name, _)| name.strip_prefix("client.").map(str::to_owned)).collect()
    }

    /// Returns the close codes with their names.
    pub fn close_codes(&self) -> Vec<(u64, String)> {
        let codes = self.asyncapi["channels"]["session"]["x-close-codes"].as_array().into_iter().flatten();
        codes.filter_map(|code| Some((code["code"].as_u64()?, code["name"].as_str()?.to_owned()))).collect()
    }
}

/// Checks what a problem says twice.
fn check_problem(answer: &Answer) -> anyhow::Result<()> {
    let problem = &answer.body;
    ensure!(problem["status"] == answer.status.as_u16(), "the status differs");
    let code = problem["code"].as_str().context("no code")?;
    ensure!(problem["type"] == format!("urn:chatcluster:error:{code}"), "the type differs");
    let told = problem["request_id"].as_str().map(str::as_bytes);
    ensure!(
        told == answer.headers.get("x-request-id").map(hyper::http::HeaderValue::as_bytes),
        "the request id differs"
    );
    ensure!(problem["temporary"] == matches!(answer.status.as_u16(), 429 | 500 | 503), "`temporary` differs");
    if let (Some(millis), Some(seconds)) = (problem["retry_after_ms"].as_u64(), answer.headers.get("retry-after")) {
        ensure!(seconds.to_str()?.parse() == Ok(millis.div_ceil(1_000).max(1)), "`Retry-After` differs");
    }
    Ok(())
}
