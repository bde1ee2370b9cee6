use std::fmt::Write as _;

use super::*;

#[test]
fn the_wire_form_of_a_code_is_its_name() {
    for code in ErrorCode::ALL {
        assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{code}\""));
        assert_eq!(code.message(), format!("{} {}", code.meaning(), code.remedy()));
        assert_eq!(code.is_temporary(), matches!(code.http_status(), 429 | 500 | 503), "{code}");
    }
}

#[test]
fn close_codes_ascend_and_their_range_says_what_to_do() {
    assert!(CloseCode::ALL.windows(2).all(|w| w[0].code() < w[1].code()));
    for code in CloseCode::ALL {
        assert_eq!(code.should_reconnect(), !code.remedy().starts_with("Stop"), "{code:?}");
    }
}

/// Makes `docs/codes.md`.
fn document() -> String {
    let mut text = "\
# Error and close codes

<!-- Made of chat-core/src/codes.rs: UPDATE_DOCS=1 cargo test -p chat-core documents -->

A failed request is answered with a code that is the same in frames (`error`) and in REST bodies
(`application/problem+json`). Branch on `code`; `message` is for people and may change. Codes that are not listed here
may come: then `temporary` and the HTTP status say enough. How a client uses them: [protocol.md](protocol.md).

## Error codes

*Retry*: the same request may succeed later, after `retry_after_ms` where it is given. *Close*: what a socket is closed
with for the same reason, where it does not go on.

| code | HTTP | close | retry | meaning | what a client does |
|---|---|---|---|---|---|
"
    .to_owned();
    for code in ErrorCode::ALL {
        let close = code.close_code().map(|close| close.code().to_string()).unwrap_or_default();
        let retry = if code.is_temporary() { "yes" } else { "no" };
        let (http, meaning, remedy) = (code.http_status(), code.meaning(), code.remedy());
        writeln!(text, "| `{code}` | {http} | {close} | {retry} | {meaning} | {remedy} |").unwrap();
    }
    text += "
## Close codes

The close reason is the name. 4000-4499: reconnect; 4500-4999: stop, also for codes not listed. Of the others, 1000 is
sent by clients only; 1001, 1005, 1006 and 1011-1013: reconnect; 1002, 1003 and 1007-1010: stop.

| code | name | meaning | what a client does |
|---|---|---|---|
";
    for code in CloseCode::ALL {
        let (name, meaning, remedy) = (code.as_str(), code.meaning(), code.remedy());
        writeln!(text, "| {} | `{name}` | {meaning} | {remedy} |", code.code()).unwrap();
    }
    text
}

#[test]
fn committed_documents_of_codes_are_fresh() {
    let (path, text) = (concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/codes.md"), document());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == text, "docs/codes.md is stale: UPDATE_DOCS=1 cargo test -p chat-core documents");
}
