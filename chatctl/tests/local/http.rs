//! One HTTP request on one connection, as it is on the wire.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The head, in lower case.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: String,
}

impl Answer {
    /// Returns whether the head has this line.
    pub(crate) fn has(&self, line: &str) -> bool {
        self.head.lines().any(|other| other == line.to_ascii_lowercase())
    }
}

/// Asks a server for a path, as a client that knows it by the name in `url`.
pub(crate) fn get(url: &str, path: &str, headers: &[&str]) -> Answer {
    get_as(host(url), url, path, headers)
}

/// Asks a server for a path, as a client that knows it by another name.
pub(crate) fn get_as(name: &str, url: &str, path: &str, headers: &[&str]) -> Answer {
    ask("GET", name, url, path, headers, "")
}

/// Posts JSON to a path.
pub(crate) fn post(url: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let length = format!("Content-Length: {}", body.len());
    let headers = [headers, &["Content-Type: application/json", &length]].concat();
    ask("POST", host(url), url, path, &headers, body)
}

fn ask(method: &str, name: &str, url: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let mut stream = TcpStream::connect(host(url)).expect("a server");
    stream.set_read_timeout(Some(ANSWER_WITHIN)).expect("a socket");
    let headers: String = headers.iter().flat_map(|header| [*header, "\r\n"]).collect();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all((head + body).as_bytes()).expect("a server");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// Returns the host and port of a URL.
pub(crate) fn host(url: &str) -> &str {
    url.trim_start_matches("http://").trim_end_matches('/')
}
