//! The rules of protocol v1 on what a message may carry. Pure.

use chat_core::codes::ErrorCode;
use chat_core::config::Limits;
use chat_core::frame::{Attachment, ContentType, Fault, Meta};
use chat_core::id::MAX_INTEGER;

use super::Body;

/// Longest name of a group, in characters.
const NAME_CHARS: usize = 128;

/// Checks what a send carries.
pub(super) fn body(body: &Body, limits: &Limits, insecure_attachments: bool) -> Result<(), Fault> {
    content(&body.content, limits)?;
    meta(body.meta.as_ref(), limits)?;
    match (body.content_type, &body.attachment) {
        (ContentType::System, _) => Err(Fault::invalid("content_type", "SYSTEM messages are made by the server")),
        (ContentType::Text, Some(_)) => Err(Fault::invalid("attachment", "a TEXT message has no attachment")),
        (ContentType::Image | ContentType::File, None) => {
            Err(Fault::invalid("attachment", "an IMAGE or FILE has an attachment"))
        }
        (ContentType::Text, None) => Ok(()),
        (ContentType::Image | ContentType::File, Some(file)) => attachment(file, insecure_attachments),
    }
}

/// Checks the size of a content.
pub(super) fn content(content: &str, limits: &Limits) -> Result<(), Fault> {
    if content.len() > limits.content_bytes {
        let message = format!("content is at most {} bytes of UTF-8", limits.content_bytes);
        return Err(Fault::new(ErrorCode::ContentTooLarge, message).at_field("content"));
    }
    Ok(())
}

/// Checks the size of the app's own data.
pub(super) fn meta(meta: Option<&Meta>, limits: &Limits) -> Result<(), Fault> {
    let bytes = meta.map_or(0, |meta| serde_json::to_vec(meta).map_or(usize::MAX, |json| json.len()));
    if bytes > limits.meta_bytes {
        let message = format!("meta is at most {} bytes of JSON", limits.meta_bytes);
        return Err(Fault::new(ErrorCode::ContentTooLarge, message).at_field("meta"));
    }
    Ok(())
}

/// Checks the name of a group.
pub(crate) fn name(name: &str) -> Result<(), Fault> {
    match name.chars().count() {
        0 => Err(Fault::invalid("name", "a group has a name")),
        1..=NAME_CHARS => Ok(()),
        _ => Err(Fault::new(ErrorCode::ContentTooLarge, "a name is at most 128 characters").at_field("name")),
    }
}

fn attachment(file: &Attachment, insecure: bool) -> Result<(), Fault> {
    let has_scheme = |scheme: &str| {
        file.url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            && file.url.len() > scheme.len()
    };
    let is_link = has_scheme("https://") || (insecure && has_scheme("http://"));
    let is_printable = file.url.bytes().all(|byte| byte.is_ascii_graphic());
    let wrong = |field: &str, message: &str| Err(Fault::invalid(format!("attachment.{field}"), message));
    if !is_link || !is_printable || file.url.len() > 2_048 {
        return wrong("url", "a url is https, percent-encoded and at most 2048 bytes");
    }
    if file.name.is_empty() || file.name.len() > 255 {
        return wrong("name", "a file name is 1 to 255 bytes");
    }
    let is_media_type = file.mime_type.split_once('/').is_some_and(|(kind, of)| !kind.is_empty() && !of.is_empty());
    if !is_media_type || file.mime_type.len() > 127 {
        return wrong("mime_type", "a media type is `type/subtype`, at most 127 bytes");
    }
    for (field, value) in [("size_bytes", Some(file.size_bytes)), ("width", file.width), ("height", file.height)] {
        if value.is_some_and(|value| value > MAX_INTEGER) {
            return wrong(field, "a whole number is at most 2^53 - 1");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Attachment {
        Attachment {
            url: "https://files.example/1".into(),
            name: "a.png".into(),
            mime_type: "image/png".into(),
            size_bytes: 9,
            width: None,
            height: None,
        }
    }

    fn checked(change: impl FnOnce(&mut Body)) -> Result<(), (ErrorCode, Option<String>)> {
        let mut sent =
            Body { content: "hi".into(), content_type: ContentType::Image, attachment: Some(file()), meta: None };
        change(&mut sent);
        body(&sent, &Limits::default(), false).map_err(|fault| (fault.code, fault.field))
    }

    #[test]
    fn what_a_message_may_not_carry_is_named() {
        let invalid = |field: &str| Err((ErrorCode::InvalidArgument, Some(field.to_owned())));
        let large = |field: &str| Err((ErrorCode::ContentTooLarge, Some(field.to_owned())));
        assert_eq!(checked(|_| {}), Ok(()));
        assert_eq!(checked(|body| body.content = "x".repeat(16 * 1024)), Ok(()));
        assert_eq!(checked(|body| body.content = "é".repeat(8 * 1024 + 1)), large("content"));
        assert_eq!(checked(|body| body.content_type = ContentType::System), invalid("content_type"));
        assert_eq!(checked(|body| body.content_type = ContentType::Text), invalid("attachment"));
        assert_eq!(checked(|body| body.attachment = None), invalid("attachment"));
        let big = serde_json::json!({"k": "x".repeat(4096)});
        assert_eq!(checked(|body| body.meta = big.as_object().cloned()), large("meta"));
        for url in ["http://files.example/1", "https://", "javascript:alert(1)", "https://a b"] {
            let with_url = |body: &mut Body| body.attachment = Some(Attachment { url: url.into(), ..file() });
            assert_eq!(checked(with_url), invalid("attachment.url"), "{url}");
        }
        let with_name = |body: &mut Body| body.attachment = Some(Attachment { name: String::new(), ..file() });
        assert_eq!(checked(with_name), invalid("attachment.name"));
        let with_type = |body: &mut Body| body.attachment = Some(Attachment { mime_type: "png".into(), ..file() });
        assert_eq!(checked(with_type), invalid("attachment.mime_type"));
    }

    #[test]
    fn names_are_counted_in_characters() {
        assert!(name(&"é".repeat(128)).is_ok());
        assert_eq!(name(&"é".repeat(129)).unwrap_err().code, ErrorCode::ContentTooLarge);
        assert_eq!(name("").unwrap_err().code, ErrorCode::InvalidArgument);
    }
}
