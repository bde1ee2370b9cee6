//! Completions of every shell, and exit codes.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::process::{Place, Stack, manifest};

const COMMANDS: [&str; 9] =
    ["local", "token", "gateways", "erase-user", "push", "stats", "load", "size", "completions"];

#[test]
fn every_shell_gets_completions_of_every_command() {
    let place = Place::new("");
    let said = place.refused(&["completions", "tcsh"], 2);
    let shells = said.split("possible values: ").nth(1).and_then(|rest| rest.split(']').next()).expect("the shells");
    let shells: Vec<&str> = shells.split(", ").collect();
    assert!(["bash", "zsh", "fish"].iter().all(|shell| shells.contains(shell)), "{shells:?}");
    for shell in shells {
        let script = place.printed(&["completions", shell]);
        for word in COMMANDS.iter().chain(&["status-every", "messages-a-day", "drain"]) {
            assert!(script.contains(word), "{word} is not completed in {shell}");
        }
    }
}

#[test]
fn bash_reads_its_completions_and_completes_by_them() {
    let script = Place::new("").printed(&["completions", "bash"]);
    let asked = "\nCOMP_WORDS=(chatctl ga); COMP_CWORD=1; _chatctl chatctl ga chatctl; echo \"${COMPREPLY[*]}\"\n";
    let bash = Command::new("bash").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut bash) = bash else { return eprintln!("skipped: there is no bash") };
    bash.stdin.take().expect("a piped standard input").write_all((script + asked).as_bytes()).expect("bash reads");
    let output = bash.wait_with_output().expect("bash ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "gateways");
}

#[test]
fn exit_codes_are_those_of_the_documentation() {
    let place = Place::new(&manifest());
    let help = place.printed(&["--help"]);
    assert!(help.contains("Exit codes: 0 done; 1 it could not be done; 2 "), "{help}");
    place.refused(&["gateways", "list"], 1);
    place.refused(&["gateways", "list", "--loud"], 2);

    let stack = Stack::start(&place, &["--json", "--gateways", "1"]);
    let url = stack.event("ready")["url"].as_str().expect("an address").to_owned();
    // No generator is always in time to the millisecond; so strict a run is void.
    let strict = ["--late-ms", "0", "--late-fraction", "0", "--users", "4", "--rate", "500", "--duration", "1s"];
    place.refused(&[&["load", "--url", &url][..], &strict].concat(), 3);
}
