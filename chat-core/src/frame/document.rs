//! The `AsyncAPI` document of the frames, made from the types that are sent.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::client::Request;
use super::{Fault, Push, server::Ack};
use crate::clock::Time;
use crate::codes::{CloseCode, ErrorCode};
use crate::config::Limits;
use crate::id::MAX_INTEGER;

/// Makes a generator of schemas as protocol v1 means them: an optional field is absent and never null, and whole
/// numbers go up to 2^53 − 1. Definitions are gathered below `#/components/schemas`.
pub fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
            settings.untagged_enum_variant_titles = false;
        })
        .into_generator()
}

/// Writes the schemas of a document as protocol v1 means them; see [`generator`]. What `x-limit` marks as a limit of the
/// manifest gets the value that is in force.
pub fn as_v1(schemas: &mut Map<String, Value>, limits: &Limits) {
    let limits = json!(limits);
    let mut transform = RecursiveTransform(|schema: &mut Schema| v1(schema, &limits));
    for schema in schemas.values_mut() {
        if let Ok(schema) = <&mut Schema>::try_from(schema) {
            transform.transform(schema);
        }
    }
}

fn v1(schema: &mut Schema, limits: &Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(types) = object.get_mut("type")
        && let Some([one, null]) = types.as_array().map(Vec::as_slice)
        && null == "null"
    {
        *types = one.clone();
    }
    if let Some([one, null]) = object.get("anyOf").and_then(Value::as_array).map(Vec::as_slice)
        && null["type"] == "null"
        && let Value::Object(one) = one.clone()
    {
        object.remove("anyOf");
        for (key, value) in one {
            object.entry(key).or_insert(value);
        }
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    if object.get("format").is_some_and(|format| format == "uint64") {
        object.remove("format");
        object.entry("maximum").or_insert_with(|| MAX_INTEGER.into());
    }
    if let Some(limit) = object.get("x-limit").and_then(Value::as_str).and_then(|name| limits.get(name)) {
        limit_to(object, &limit.clone());
    }
}

/// Bounds what a schema allows. JSON Schema counts characters, the protocol bytes: a text of so many bytes has at most
/// as many characters, and `x-max-bytes` tells the exact rule.
fn limit_to(schema: &mut Map<String, Value>, limit: &Value) {
    let keywords: &[&str] = match schema.get("type").and_then(Value::as_str) {
        Some("string") => &["maxLength", "x-max-bytes"],
        Some("array") => &["maxItems"],
        _ => &["x-max-bytes"],
    };
    schema.extend(keywords.iter().map(|keyword| ((*keyword).to_owned(), limit.clone())));
}

/// A frame as the document shows it.
struct Shown {
    name: String,
    payload: Value,
    summary: Value,
}

/// Makes the `AsyncAPI` 3 document: every frame, what it is answered with, and the codes. It tells the limits in force.
pub fn asyncapi(limits: &Limits) -> Value {
    let mut generator = generator();
    let acks = titled(&generator.root_schema_for::<Ack>().to_value()["anyOf"]);
    let (mut sent, mut operations) = (Vec::new(), Map::new());
    for (kind, body, answer) in Request::describe(&mut generator) {
        let mut payload = envelope(kind, &body.to_value());
        payload["properties"]["id"] = id();
        operations.insert(format!("client.{kind}"), asks(kind, answer));
        sent.push(Shown { name: kind.to_owned(), payload, summary: json!(format!("A client's `{kind}`.")) });
    }
    let replies = replies(&mut generator, &acks);
    let pushes = pushes(&generator.root_schema_for::<Push>().to_value()["oneOf"]);
    // The root schemas above leave their definitions in the generator; asked for by name they are in it for good.
    generator.subschema_for::<Ack>();
    generator.subschema_for::<Push>();
    for push in &pushes {
        operations.insert(format!("server.{}", push.name), tells(&push.name));
    }
    let mut schemas = generator.take_definitions(true);
    schemas.remove("Ack");
    schemas.remove("Push");
    let named = |prefix: &'static str, shown: Vec<Shown>| {
        shown.into_iter().map(move |frame| (format!("{prefix}.{}", frame.name), frame))
    };
    let mut messages = Map::new();
    for (key, frame) in named("client", sent).chain(named("reply", replies)).chain(named("server", pushes)) {
        schemas.insert(key.clone(), frame.payload);
        let payload = json!({ "$ref": format!("#/components/schemas/{key}") });
        let title = frame.name.clone();
        messages.insert(key, json!({ "name": title, "summary": frame.summary, "payload": payload }));
    }
    as_v1(&mut schemas, limits);
    let listed: Map<String, Value> =
        messages.keys().map(|key| (key.clone(), json!({ "$ref": format!("#/components/messages/{key}") }))).collect();
    let codes: Vec<Value> = ErrorCode::ALL.iter().copied().map(error_code).collect();
    let close_codes: Vec<Value> = CloseCode::ALL.iter().copied().map(close_code).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "ChatCluster frames",
            "version": "1",
            "description": "Frames of protocol v1: over `GET /v1/ws` (subprotocol `chat.v1.json`), and as items of \
                `frames` over `GET /v1/events` (long poll, or `data:` of an event stream) and `POST /v1/frames`. Only \
                additions happen within v1: ignore unknown fields, push types and enum values. A limit that is marked \
                by `x-limit` is a setting of the manifest and shown as it is in force; `x-max-bytes` counts UTF-8, of \
                `meta` that of its JSON.",
        },
        "defaultContentType": "application/json",
        "channels": { "session": {
            "address": "/v1/ws", "messages": listed, "x-error-codes": codes, "x-close-codes": close_codes,
        } },
        "operations": operations,
        "components": { "messages": messages, "schemas": schemas },
    })
}

fn id() -> Value {
    json!({ "description": "Asks for exactly one reply under this number.", "type": "integer", "minimum": 0,
        "maximum": MAX_INTEGER })
}

fn envelope(kind: &str, d: &Value) -> Value {
    let required = if kind == "ping" || kind.starts_with("presence.") { json!(["type"]) } else { json!(["type", "d"]) };
    json!({ "type": "object", "required": required, "properties": { "type": { "const": kind }, "d": d } })
}

/// Takes the variants of an untagged enum by their titles.
fn titled(variants: &Value) -> Vec<(String, Value)> {
    let variants = variants.as_array().map(Vec::as_slice).unwrap_or_default();
    variants.iter().map(|variant| (variant["title"].as_str().unwrap_or_default().to_owned(), variant.clone())).collect()
}

fn replies(generator: &mut SchemaGenerator, acks: &[(String, Value)]) -> Vec<Shown> {
    let time = generator.subschema_for::<Time>().to_value();
    let fault = generator.subschema_for::<Fault>().to_value();
    let pong = json!({ "type": "object", "required": ["server_time"], "properties": { "server_time": time } });
    let of = |name: &str, kind: &str, d: &Value| {
        let mut payload = envelope(kind, d);
        payload["required"] = json!(["id", "type", "d"]);
        payload["properties"]["id"] = id();
        payload["properties"]["id"]["description"] = json!("The number of the frame it answers.");
        Shown { name: name.to_owned(), payload, summary: json!(format!("A reply: `{kind}`.")) }
    };
    let acks = acks.iter().map(|(title, d)| of(title, "ack", d));
    acks.chain([of("Pong", "pong", &pong), of("Error", "error", &fault)]).collect()
}

/// Takes the variants of the tagged enum of pushes.
fn pushes(variants: &Value) -> Vec<Shown> {
    let variants = variants.as_array().map(Vec::as_slice).unwrap_or_default();
    let shown = variants.iter().map(|variant| Shown {
        name: variant["properties"]["type"]["const"].as_str().unwrap_or_default().to_owned(),
        payload: variant.clone(),
        summary: variant["description"].clone(),
    });
    shown.collect()
}

fn channel_message(key: &str) -> Value {
    json!({ "$ref": format!("#/channels/session/messages/{key}") })
}

fn asks(kind: &str, answer: &str) -> Value {
    let replies = [channel_message(&format!("reply.{answer}")), channel_message("reply.Error")];
    json!({
        "action": "receive",
        "channel": { "$ref": "#/channels/session" },
        "messages": [channel_message(&format!("client.{kind}"))],
        "reply": { "channel": { "$ref": "#/channels/session" }, "messages": replies },
    })
}

fn tells(kind: &str) -> Value {
    json!({
        "action": "send",
        "channel": { "$ref": "#/channels/session" },
        "messages": [channel_message(&format!("server.{kind}"))],
    })
}

fn error_code(code: ErrorCode) -> Value {
    let mut shown = json!({ "code": code, "http_status": code.http_status(), "temporary": code.is_temporary(),
        "description": code.meaning(), "remedy": code.remedy() });
    if let Some(close) = code.close_code() {
        shown["close_code"] = json!(close.code());
    }
    shown
}

fn close_code(code: CloseCode) -> Value {
    json!({ "code": code.code(), "name": code.as_str(), "reconnect": code.should_reconnect(),
        "description": code.meaning(), "remedy": code.remedy() })
}
