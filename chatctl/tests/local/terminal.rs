//! What a terminal shows, in colour or not.

use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::process::{Place, manifest};

/// Runs a local stack on a terminal until its view says this; returns all that the terminal got. `None` without
/// `script`, which lends the terminal.
fn view(no_colour: bool, until: &str) -> Option<String> {
    let place = Place::new(&manifest());
    let mut command = Command::new("script");
    let run = format!("{} local -f chatcluster.yaml --port 0 --demo-port 0", env!("CARGO_BIN_EXE_chatctl"));
    command.args(["-qefc", &run, "/dev/null"]).current_dir(place.path()).env("TERM", "xterm-256color");
    if no_colour {
        command.env("NO_COLOR", "1");
    } else {
        command.env_remove("NO_COLOR");
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut stdout = child.stdout.take().expect("a piped standard output");
    let mut got = Vec::new();
    let mut some = [0; 4096];
    while !String::from_utf8_lossy(&got).contains(until) {
        let count = stdout.read(&mut some).expect("a terminal to read");
        assert!(count > 0, "it ended before {until:?}: {}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&some[..count]);
    }
    // The end of the terminal ends what runs on it.
    child.kill().expect("a process to kill");
    child.wait().expect("a child to wait for");
    Some(String::from_utf8_lossy(&got).into_owned())
}

/// Tells whether a text sets a colour or a weight.
fn is_styled(text: &str) -> bool {
    let sets = |rest: &str| {
        let numbers: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == ';').collect();
        rest[numbers.len()..].starts_with('m') && !numbers.is_empty() && numbers != "0"
    };
    text.split("\u{1b}[").skip(1).any(sets)
}

#[test]
fn a_terminal_shows_the_stack_live_and_in_colour() {
    let Some(shown) = view(false, "sequencer") else { return eprintln!("skipped: there is no script") };
    assert!(shown.contains("gateways ready") && shown.contains("gateway-1"), "{shown}");
    assert!(is_styled(&shown), "{shown}");
}

#[test]
fn no_colour_is_shown_to_who_wants_none() {
    let Some(shown) = view(true, "sequencer") else { return eprintln!("skipped: there is no script") };
    assert!(shown.contains("gateways ready"), "{shown}");
    assert!(!is_styled(&shown), "{shown:?}");
}

#[test]
fn errors_are_coloured_where_it_is_asked_for_and_never_against_no_color() {
    let place = Place::new("");
    let said = |no_colour: &str| {
        let mut command = place.chatctl(&["gateways", "list"]);
        let output = command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", no_colour).output().expect("the binary runs");
        String::from_utf8(output.stderr).expect("text")
    };
    assert!(is_styled(&said("")), "{}", said(""));
    assert!(!is_styled(&said("1")), "{}", said("1"));
}
