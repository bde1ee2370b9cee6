//! What only a reading of YAML events can tell: where a field stands, and how it is written.
//!
//! `serde_yaml` keeps neither, so this is a second reading.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde_json::Value;

/// Words `kubectl`, which reads YAML 1.1, takes for true or false where they are not quoted. YAML 1.2 takes them for text.
const YES: [&str; 8] = ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON"];
const NO: [&str; 8] = ["n", "N", "no", "No", "NO", "off", "Off", "OFF"];

/// Lines of the fields of a manifest, by the segments of their paths.
pub(super) struct Lines {
    lines: HashMap<Vec<String>, usize>,
    flags: Vec<(Vec<String>, bool)>,
}

/// Reads where the fields of a manifest stand. What cannot be read has no line.
pub(super) fn scan(yaml: &str) -> Lines {
    let lines = Lines { lines: HashMap::new(), flags: Vec::new() };
    let mut scan = Scan { parser: Parser::new_from_str(yaml), path: Vec::new(), found: lines };
    while let Some((event, span)) = scan.next() {
        if matches!(event, Event::MappingStart(..)) && scan.found.lines.is_empty() {
            scan.found.lines.insert(Vec::new(), span.start.line());
            scan.value(&event);
        }
    }
    scan.found
}

impl Lines {
    /// Returns the line of a field, or that of the nearest field around it.
    pub(super) fn nearest(&self, path: &str) -> Option<usize> {
        let mut segments = segments(path);
        loop {
            if let Some(line) = self.lines.get(&segments) {
                return Some(*line);
            }
            segments.pop()?;
        }
    }

    /// Turns the words that `kubectl` takes for true or false into what it sends.
    pub(super) fn apply_flags(&self, document: &mut Value) {
        for (path, flag) in &self.flags {
            let value = path.iter().try_fold(&mut *document, |node, segment| match node {
                Value::Array(items) => items.get_mut(segment.trim_matches(['[', ']']).parse::<usize>().ok()?),
                node => node.get_mut(segment),
            });
            if let Some(value) = value {
                *value = Value::Bool(*flag);
            }
        }
    }
}

struct Scan<'yaml> {
    parser: Parser<'yaml, StrInput<'yaml>>,
    path: Vec<String>,
    found: Lines,
}

impl<'yaml> Scan<'yaml> {
    fn next(&mut self) -> Option<(Event<'yaml>, Span)> {
        self.parser.next_event()?.ok()
    }

    /// Walks the value that begins with an event.
    fn value(&mut self, start: &Event<'_>) {
        match start {
            Event::MappingStart(..) => self.mapping(),
            Event::SequenceStart(..) => self.sequence(),
            Event::Scalar(word, ScalarStyle::Plain, _, None) if YES.contains(&&**word) || NO.contains(&&**word) => {
                self.found.flags.push((self.path.clone(), YES.contains(&&**word)));
            }
            _ => {}
        }
    }

    fn mapping(&mut self) {
        while let Some((key, span)) = self.next() {
            let Event::Scalar(key, ..) = key else { return };
            self.child(key.into_owned(), &span, None);
        }
    }

    fn sequence(&mut self) {
        for index in 0_usize.. {
            match self.next() {
                None | Some((Event::SequenceEnd, _)) => return,
                Some((item, span)) => self.child(format!("[{index}]"), &span, Some(&item)),
            }
        }
    }

    /// Notes the line of a child and walks its value, which is yet to be read unless it is given.
    fn child(&mut self, segment: String, span: &Span, value: Option<&Event<'_>>) {
        self.path.push(segment);
        self.found.lines.insert(self.path.clone(), span.start.line());
        match value {
            Some(value) => self.value(value),
            None => {
                if let Some((value, _)) = self.next() {
                    self.value(&value);
                }
            }
        }
        self.path.pop();
    }
}

/// Splits a path at its dots and brackets: `a.b[0].c` and `a.b[x.y/z].c` have four segments. An index keeps its brackets.
fn segments(path: &str) -> Vec<String> {
    let mut segments = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (segment, after) = match rest.strip_prefix('[') {
            Some(inside) => inside.split_once(']').unwrap_or((inside, "")),
            None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len())),
        };
        let is_index = rest.starts_with('[') && segment.bytes().all(|byte| byte.is_ascii_digit());
        segments.push(if is_index { format!("[{segment}]") } else { segment.to_owned() });
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "\
# A comment.
kind: ChatCluster
metadata:
  labels: { app.kubernetes.io/name: chat }
spec:
  gateways:
    auth:
      verifiers:
        - name: one
        - name: two
          jwks: { url: https://example.com }
  text: |
    several
    lines
  last: 1
";

    #[test]
    fn a_field_has_the_line_it_stands_on() {
        let lines = scan(MANIFEST);
        for (path, line) in [
            ("kind", 2),
            ("metadata.labels[app.kubernetes.io/name]", 4),
            ("spec", 5),
            ("spec.gateways.auth.verifiers[0].name", 9),
            ("spec.gateways.auth.verifiers[1]", 10),
            ("spec.gateways.auth.verifiers[1].jwks.url", 11),
            ("spec.last", 15),
        ] {
            assert_eq!(lines.nearest(path), Some(line), "{path}");
        }
    }

    #[test]
    fn words_kubectl_takes_for_flags_become_flags() {
        let yaml = "a: [Off, 'off', true]\nb: { c: yes, yes: d }\ne: !!str no\n";
        let mut document = serde_yaml::from_str(yaml).unwrap();
        scan(yaml).apply_flags(&mut document);
        let expected = serde_json::json!({ "a": [false, "off", true], "b": { "c": true, "yes": "d" }, "e": "no" });
        assert_eq!(document, expected);
    }

    #[test]
    fn an_absent_field_has_the_line_of_the_nearest_around_it() {
        let lines = scan(MANIFEST);
        assert_eq!(lines.nearest("spec.gateways.auth.verifiers[0].hs256.secretRef"), Some(9));
        assert_eq!(lines.nearest("spec.version"), Some(5));
        assert_eq!(lines.nearest("apiVersion"), Some(2));
        assert_eq!(scan("").nearest("spec"), None);
    }
}
