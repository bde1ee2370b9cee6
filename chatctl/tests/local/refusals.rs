//! What cannot be done is said in one clear sentence, with a code that is not 0.

use std::fs::{self, OpenOptions};
use std::net::TcpListener;

use crate::process::{Place, manifest};

const LOCAL: [&str; 5] = ["local", "-f", "chatcluster.yaml", "--port", "0"];

fn is_one_sentence(said: &str) {
    assert!(said.starts_with("error: "), "{said:?}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said:?}");
}

#[test]
fn every_problem_of_a_manifest_is_told_with_its_line_and_field() {
    let manifest = "apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata: {name: demo}
spec:
  version: 0.1.0
  engines: {embedded: {}}
  gateways:
    autoscaling: {min: 5, max: 2}
    replicas: many
  retention: {messages: 3 weeks}
";
    let said = Place::new(manifest).refused(&LOCAL, 2);
    for problem in
        ["line 8: spec.gateways.autoscaling", "line 9: spec.gateways.replicas", "line 10: spec.retention.messages"]
    {
        assert!(said.contains(problem), "{problem:?} is not in {said}");
    }
}

#[test]
fn a_manifest_without_an_engine_is_refused() {
    let without = manifest().replace("  engines: {embedded: {}}\n", "");
    let said = Place::new(&without).refused(&LOCAL, 2);
    assert!(said.contains("no engine is given") && said.contains("embedded"), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let said = Place::new("").refused(&["local", "-f", "absent.yaml"], 1);
    is_one_sentence(&said);
    assert!(said.contains("absent.yaml"), "{said}");
}

#[test]
fn a_directory_is_no_manifest() {
    let said = Place::new("").refused(&["local", "-f", "."], 2);
    is_one_sentence(&said);
}

#[test]
fn a_manifest_that_is_no_text_is_refused() {
    let place = Place::new("");
    fs::write(place.path().join("chatcluster.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    is_one_sentence(&place.refused(&LOCAL, 2));
}

#[test]
fn a_data_directory_that_is_a_file_is_told() {
    let place = Place::new(&manifest());
    fs::write(place.data_dir(), "a file").unwrap();
    let said = place.refused(&LOCAL, 1);
    is_one_sentence(&said);
    assert!(said.contains("--data-dir"), "{said}");
}

#[test]
fn a_data_directory_in_use_is_told_with_its_holder() {
    let place = Place::new(&manifest());
    fs::create_dir(place.data_dir()).unwrap();
    let path = place.data_dir().join("lock");
    fs::write(&path, "4711").unwrap();
    let lock = OpenOptions::new().write(true).open(path).unwrap();
    lock.try_lock().unwrap();
    let said = place.refused(&LOCAL, 1);
    is_one_sentence(&said);
    assert!(said.contains("process 4711") && said.contains("--data-dir"), "{said}");
}

#[test]
fn a_port_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = Place::new(&manifest()).refused(&["local", "-f", "chatcluster.yaml", "--port", &port], 1);
    is_one_sentence(&said);
    assert!(said.contains(&port) && said.contains("--port"), "{said}");
}

#[test]
fn a_bad_log_filter_is_refused() {
    let place = Place::new(&manifest());
    is_one_sentence(&place.refused(&["local", "-f", "chatcluster.yaml", "--log", "chat_gateway=loud"], 2));
}

#[test]
fn commands_about_a_stack_that_does_not_run_say_so() {
    let place = Place::new("");
    for (arguments, expected) in [
        (&["token", "--user", "ann"][..], "chatctl local"),
        (&["gateways", "list"], "no local stack answers"),
        (&["gateways", "drain", "gateway-0"], "no local stack answers"),
    ] {
        let said = place.refused(arguments, 1);
        is_one_sentence(&said);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_bad_command_line_is_refused() {
    let place = Place::new("");
    for arguments in
        [&["local"][..], &["token", "--user", "a b"], &["token", "--user", "ann", "--ttl", "soon"], &["fly"]]
    {
        place.refused(arguments, 2);
    }
}
