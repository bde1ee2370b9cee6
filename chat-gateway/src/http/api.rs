//! Routes and their description in one step: a call that is served is in the OpenAPI document.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use chat_core::codes::ErrorCode;
use chat_core::config::Limits;
use chat_core::frame::Fault;
use chat_core::frame::document::{as_v1, generator};
use chat_core::id::{ChatId, MAX_INTEGER, OpId, UserId};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::state::State;

/// What can go wrong in every call that needs a token.
const OF_ALL: &[ErrorCode] = &[
    ErrorCode::InvalidArgument,
    ErrorCode::Unauthenticated,
    ErrorCode::BadToken,
    ErrorCode::TokenExpired,
    ErrorCode::Forbidden,
    ErrorCode::Internal,
    ErrorCode::OverCapacity,
    ErrorCode::Unavailable,
];

/// What can go wrong with a body.
const OF_BODIES: &[ErrorCode] =
    &[ErrorCode::InvalidJson, ErrorCode::UnsupportedMediaType, ErrorCode::FrameTooLarge, ErrorCode::ContentTooLarge];

/// The media type of failed requests.
pub(super) const PROBLEM: &str = "application/problem+json";

/// A JSON body that is described but not typed here, such as a frame.
type Described = fn(&mut SchemaGenerator) -> Value;

/// One call: how it is asked and what it answers.
#[derive(Debug)]
pub(super) struct Call {
    method: &'static str,
    path: &'static str,
    name: &'static str,
    summary: &'static str,
    scope: Option<&'static str>,
    query: Option<Described>,
    body: Option<Described>,
    headers: Vec<(&'static str, &'static str, Described)>,
    answers: Vec<(u16, &'static str, Option<Described>, &'static str)>,
    codes: Vec<ErrorCode>,
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

fn inline<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).to_value()
}

impl Call {
    /// Begins a call without a token: its method, path, operation id and what it does.
    pub(super) fn open(method: &'static str, path: &'static str, name: &'static str, summary: &'static str) -> Self {
        let (query, body, headers, answers, codes) = (None, None, Vec::new(), Vec::new(), Vec::new());
        Self { method, path, name, summary, scope: None, query, body, headers, answers, codes }
    }

    /// Begins a call that needs a token with a scope.
    pub(super) fn new(
        scope: &'static str,
        method: &'static str,
        path: &'static str,
        name: &'static str,
        summary: &'static str,
    ) -> Self {
        let call = Self { scope: Some(scope), ..Self::open(method, path, name, summary) }.codes(OF_ALL);
        if scope == "admin" {
            return call;
        }
        call.header("Act-As", "With scope `admin`: runs the call as this user.", schema::<UserId>)
    }

    /// Takes these parameters in the query.
    pub(super) fn query<T: JsonSchema>(self) -> Self {
        Self { query: Some(inline::<T>), ..self }
    }

    /// Takes this body.
    pub(super) fn body<T: JsonSchema>(self) -> Self {
        Self { body: Some(schema::<T>), ..self }.codes(OF_BODIES)
    }

    /// Takes a frame as its body.
    pub(super) fn frame_body(self, body: Described) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Takes a header.
    pub(super) fn header(mut self, name: &'static str, meaning: &'static str, schema: Described) -> Self {
        self.headers.push((name, meaning, schema));
        self
    }

    /// Takes an `Idempotency-Key`.
    pub(super) fn idempotency_key(self, meaning: &'static str) -> Self {
        self.header("Idempotency-Key", meaning, schema::<OpId>)
    }

    /// Takes an `Idempotency-Key`: the call is a change that the log sequences.
    pub(super) fn change(self) -> Self {
        self.idempotency_key("A UUIDv7: the id of this change, so that a repeated call changes nothing twice.")
            .codes(&[ErrorCode::RateLimited, ErrorCode::Overloaded])
    }

    /// Answers with JSON.
    pub(super) fn json<T: JsonSchema>(self, status: u16, meaning: &'static str) -> Self {
        self.answer(status, meaning, Some(schema::<T>), "application/json")
    }

    /// Answers without a body.
    pub(super) fn empty(self, status: u16, meaning: &'static str) -> Self {
        self.answer(status, meaning, None, "")
    }

    /// Answers with a body of this media type.
    pub(super) fn answer(
        mut self,
        status: u16,
        meaning: &'static str,
        body: Option<Described>,
        media: &'static str,
    ) -> Self {
        self.answers.push((status, meaning, body, media));
        self
    }

    /// Adds what else can go wrong.
    pub(super) fn codes(mut self, codes: &[ErrorCode]) -> Self {
        self.codes.extend_from_slice(codes);
        self
    }

    fn describe(&self, generator: &mut SchemaGenerator) -> Value {
        let mut parameters = self.path_parameters(generator);
        parameters.extend(self.query.map(|query| query_parameters(&query(generator))).unwrap_or_default());
        parameters.extend(self.headers.iter().map(|(name, meaning, schema)| {
            json!({ "name": name, "in": "header", "description": meaning, "schema": schema(generator) })
        }));
        let mut operation = json!({
            "operationId": self.name,
            "summary": self.summary,
            "parameters": parameters,
            "responses": self.responses(generator),
            "security": self.scope.map_or_else(|| json!([]), |scope| json!([{ "bearer": [scope] }])),
        });
        if let Some(body) = self.body {
            let content = json!({ "application/json": { "schema": body(generator) } });
            operation["requestBody"] = json!({ "required": true, "content": content });
        }
        operation
    }

    fn path_parameters(&self, generator: &mut SchemaGenerator) -> Vec<Value> {
        let names = self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters = names.map(|name| {
            let schema = match name {
                "chat_id" => schema::<ChatId>(generator),
                "user" => schema::<UserId>(generator),
                "seq" => json!({ "type": "integer", "minimum": 0, "maximum": MAX_INTEGER }),
                "device" => json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" }),
                "report_id" => schema::<Uuid>(generator),
                _ => json!({ "type": "string" }),
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        });
        parameters.collect()
    }

    fn responses(&self, generator: &mut SchemaGenerator) -> Value {
        let mut responses: BTreeMap<String, Value> = BTreeMap::new();
        for (status, meaning, body, media) in &self.answers {
            let response = responses.entry(status.to_string()).or_insert_with(|| response(*status, meaning));
            if let Some(body) = body {
                response["content"][*media] = json!({ "schema": body(generator) });
            }
        }
        for (status, codes) in by_status(&self.codes) {
            let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
            let mut response = response(status, &names.join(", "));
            response["content"][PROBLEM] = json!({ "schema": problem_of(&codes) });
            responses.insert(status.to_string(), response);
        }
        json!(responses)
    }
}

/// Begins a response: its headers are those that every answer of this status has.
fn response(status: u16, meaning: &str) -> Value {
    let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/RequestId" } });
    if matches!(status, 429 | 503) {
        headers["Retry-After"] = json!({ "$ref": "#/components/headers/RetryAfter" });
    }
    json!({ "description": meaning, "headers": headers })
}

/// The headers of answers.
fn headers() -> Value {
    json!({
        "RequestId": { "description": "Finds the request in the server's log.", "required": true,
            "schema": { "type": "string", "pattern": "^[0-9a-f]{32}$" } },
        "RetryAfter": { "description": "Seconds to wait before the next attempt.", "required": true,
            "schema": { "type": "integer", "minimum": 1 } },
    })
}

/// Describes a problem with one of these codes.
pub(super) fn problem_of(codes: &[ErrorCode]) -> Value {
    json!({ "allOf": [{ "$ref": "#/components/schemas/Problem" }, { "properties": { "code": { "enum": codes } } }] })
}

fn by_status(codes: &[ErrorCode]) -> BTreeMap<u16, Vec<ErrorCode>> {
    let mut sorted: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in ErrorCode::ALL.iter().filter(|code| codes.contains(code)) {
        sorted.entry(code.http_status()).or_default().push(*code);
    }
    sorted
}

fn query_parameters(schema: &Value) -> Vec<Value> {
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let fields = schema["properties"].as_object().into_iter().flatten();
    let parameters = fields.map(|(name, schema)| {
        let is_required = required.iter().any(|field| field == name);
        json!({ "name": name, "in": "query", "required": is_required, "schema": schema })
    });
    parameters.collect()
}

/// The calls of the public port: a router, and the document of what it serves.
#[derive(Debug)]
pub(super) struct Api {
    router: Router<Arc<State>>,
    paths: Map<String, Value>,
    generator: SchemaGenerator,
}

impl Api {
    /// Makes one without calls.
    pub(super) fn new() -> Self {
        Self { router: Router::new(), paths: Map::new(), generator: generator() }
    }

    /// Serves a call.
    ///
    /// # Panics
    /// When its method is none that REST calls use, or the path has it already: both are mistakes in the source.
    pub(super) fn serve<T: 'static>(mut self, call: &Call, handler: impl Handler<T, Arc<State>>) -> Self {
        let method = match call.method {
            "get" => MethodFilter::GET,
            "post" => MethodFilter::POST,
            "put" => MethodFilter::PUT,
            "patch" => MethodFilter::PATCH,
            "delete" => MethodFilter::DELETE,
            other => unreachable!("no call has the method {other}"),
        };
        let path = self.paths.entry(call.path).or_insert_with(|| json!({}));
        path[call.method] = call.describe(&mut self.generator);
        Self { router: self.router.route(call.path, on(method, handler)), ..self }
    }

    /// Returns the router and the OpenAPI document, which tells the limits in force.
    pub(super) fn finish(mut self, limits: &Limits) -> (Router<Arc<State>>, Value) {
        let fault = inline::<Fault>(&mut self.generator);
        let mut schemas = self.generator.take_definitions(true);
        schemas.insert("Problem".to_owned(), problem(fault));
        as_v1(&mut schemas, limits);
        let mut paths = Value::Object(self.paths);
        each_parameter(&mut paths, |parameter| {
            if let Some(parameter) = parameter.as_object_mut() {
                let mut schemas: Map<String, Value> = parameter.remove_entry("schema").into_iter().collect();
                as_v1(&mut schemas, limits);
                parameter.append(&mut schemas);
            }
        });
        let document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": "ChatCluster",
                "version": "1",
                "description": "REST calls of protocol v1. Only additions happen within v1: ignore unknown fields and \
                    enum values. Frames, which travel in `frames`, are described by `GET /v1/asyncapi.json`. A limit \
                    that is marked by `x-limit` is a setting of the manifest and shown as it is in force; \
                    `x-max-bytes` counts UTF-8, of `meta` that of its JSON.",
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "paths": paths,
            "components": {
                "headers": headers(),
                "schemas": schemas,
                "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
            },
        });
        (self.router, document)
    }
}

fn each_parameter(paths: &mut Value, mut change: impl FnMut(&mut Value)) {
    let operations = paths.as_object_mut().into_iter().flatten().filter_map(|(_, path)| path.as_object_mut());
    for (_, operation) in operations.flatten() {
        operation["parameters"].as_array_mut().into_iter().flatten().for_each(&mut change);
    }
}

/// Makes the schema of `application/problem+json`: the fault, and what RFC 9457 asks for.
fn problem(mut fault: Value) -> Value {
    for (name, schema) in [
        ("type", json!({ "type": "string", "pattern": "^urn:chatcluster:error:[a-z_]+$" })),
        ("title", json!({ "type": "string" })),
        ("status", json!({ "type": "integer" })),
        (
            "request_id",
            json!({ "type": "string", "pattern": "^[0-9a-f]{32}$",
            "description": "Finds the request in the server's log." }),
        ),
    ] {
        fault["properties"][name] = schema;
        if let Some(required) = fault["required"].as_array_mut() {
            required.push(json!(name));
        }
    }
    fault
}
