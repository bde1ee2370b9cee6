//! A stack from its start to its end, by whatever end.

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::process::{Place, Stack, manifest};

const EXTERNAL: &str = "
apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata: {name: demo}
spec:
  version: 9.9.9
  redis: {managed: {shards: 3}}
  kafka: {external: {bootstrapServers: ['kafka:9092']}}
  cassandra: {external: {contactPoints: ['cassandra:9042'], localDatacenter: dc1}}
  search: {disabled: {}}
  gateways: {autoscaling: {mode: Fixed}, replicas: 1}
";

fn event(line: &str) -> Value {
    serde_json::from_str(line).expect("each line is one JSON object")
}

#[test]
fn a_signal_ends_it_in_order() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new(&manifest());
        let stack = Stack::start(&place, &["--json"]);
        stack.lines_until(r#""event":"ready""#);
        assert_eq!(stack.end(signal), Some(0), "{signal:?}");
    }
}

#[test]
fn scripts_read_events() {
    let place = Place::new(EXTERNAL);
    let stack = Stack::start(&place, &["--json", "--gateways", "2"]);
    let events: Vec<Value> = stack.lines_until(r#""event":"ready""#).iter().map(|line| event(line)).collect();
    let count = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!(events[0]["event"], "starting");
    assert_eq!((count("replaced"), count("warning"), count("gateway"), count("token")), (3, 1, 2, 2), "{events:?}");
    let ready = &events[events.len() - 1];
    assert!(ready["url"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{ready}");
    assert!(ready["ws_url"].as_str().unwrap().ends_with("/v1/ws"), "{ready}");
}

#[test]
fn a_stack_is_tried_as_its_output_says_and_keeps_what_it_took() {
    if Command::new("curl").arg("--version").output().is_err() {
        return eprintln!("skipped: there is no curl");
    }
    let place = Place::new(&manifest());
    let run = |command: &str| {
        let output = Command::new("sh").args(["-c", command]).current_dir(place.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let curls = |stack: &Stack| -> Vec<String> {
        let lines = stack.lines_until("Ctrl-C");
        lines.iter().map(|line| line.trim()).filter(|line| line.starts_with("curl")).map(str::to_owned).collect()
    };
    let stack = Stack::start(&place, &[]);
    let [open, send, read] = &curls(&stack)[..] else { panic!("not three commands") };
    assert_eq!(event(&run(open))["type"], "DIRECT");
    assert_eq!(event(&run(send))["seq"], 1);
    assert_eq!(event(&run(read))["items"][0]["content"], "hello");

    assert_eq!(stack.end(Signal::KILL), None, "a kill is no exit");
    let key = fs::read(place.data_dir().join("jwt.key")).unwrap();
    let stack = Stack::start(&place, &[]);
    let again = &curls(&stack)[2];
    assert_eq!(event(&run(again))["items"][0]["content"], "hello", "what was acknowledged is kept");
    assert_eq!(fs::read(place.data_dir().join("jwt.key")).unwrap(), key, "tokens stay good");
}

#[test]
fn a_directory_has_one_stack_at_a_time() {
    let place = Place::new(&manifest());
    let stack = Stack::start(&place, &["--json"]);
    stack.lines_until(r#""event":"ready""#);
    let said = place.refused(&["local", "-f", "chatcluster.yaml", "--port", "0"], 1);
    assert!(said.contains(&format!("process {}", stack.id())), "{said}");
}
