//! Every command that the documents show, run as a reader would: in a folder where the stack's data is `./.chatcluster`.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tests::stack::Setup;
use tests::{Stack, workspace};
use tokio::process::Command;
use tokio::time::timeout;

/// How long the commands of one block may take.
const BLOCK: Duration = Duration::from_mins(2);

/// How the documents run `chatctl` from a checkout.
const FROM_SOURCE: &str = "cargo run --release -p chatctl -- ";

/// Where the documents say that the front door is.
const FRONT_DOOR: &str = "127.0.0.1:8080";

/// The commands of one block, comments and continuations resolved.
#[derive(Debug)]
struct Block {
    place: String,
    commands: Vec<String>,
}

fn documents() -> anyhow::Result<Vec<PathBuf>> {
    let top = workspace();
    let mut found = Vec::new();
    for folder in ["", "docs", "clients", "clients/js", "clients/web", "examples", "charts"] {
        let Ok(entries) = std::fs::read_dir(top.join(folder)) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    anyhow::ensure!(found.len() > 5, "the documents are not where this test looks: {found:?}");
    Ok(found)
}

fn blocks(document: &Path) -> anyhow::Result<Vec<Block>> {
    let text = std::fs::read_to_string(document)?;
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.trim()) {
            (None, "```sh") => {
                let place = format!("{}:{}", document.strip_prefix(workspace())?.display(), number + 1);
                open = Some(Block { place, commands: Vec::new() });
            }
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(block), line) => block.add(line),
            (None, _) => {}
        }
    }
    Ok(blocks)
}

impl Block {
    fn add(&mut self, line: &str) {
        let line = line.split(" # ").next().unwrap_or(line).trim();
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        match self.commands.last_mut().filter(|command| command.ends_with('\\')) {
            Some(command) => {
                command.truncate(command.len() - 1);
                command.push_str(line);
            }
            None => self.commands.push(line.replace(FROM_SOURCE, "chatctl ")),
        }
    }
}

/// Says whether a command is one that this test only looks up: what builds, tests or measures, and would run for long.
fn is_looked_up(command: &str) -> anyhow::Result<bool> {
    let mut words = command.split_whitespace().skip_while(|word| word.contains('=')).filter(|word| *word != "&&");
    let known = match (words.next(), words.next()) {
        (Some("tests/run.sh"), level) => {
            let script = std::fs::read_to_string(workspace().join("tests/run.sh"))?;
            let is_level = |level| script.lines().any(|line| line.starts_with(&format!("#   tests/run.sh {level} ")));
            level.is_none_or(is_level)
        }
        (Some("npm"), Some("ci" | "test")) => true,
        (Some("npm"), Some("run")) => {
            let package = std::fs::read_to_string(workspace().join("clients/package.json"))?;
            let script = words.next().context("npm run needs a script")?;
            serde_json::from_str::<serde_json::Value>(&package)?["scripts"][script].is_string()
        }
        (Some("cargo"), Some("build" | "test" | "clippy" | "run")) => {
            let manifest = std::fs::read_to_string(workspace().join("Cargo.toml"))?;
            let packages = command.split(" -p ").skip(1).filter_map(|rest| rest.split_whitespace().next());
            let scripts = command.split_whitespace().filter(|word| word.starts_with("benches/"));
            packages.into_iter().all(|package| manifest.contains(&format!("\"{package}\"")))
                && scripts.into_iter().all(|script| workspace().join(script).exists())
        }
        // Their engines are not here: what is shown is run by the suite of the engines. The settings are looked at.
        (Some("chat-gateway" | "chat-workers"), Some("-c")) => {
            words.next().is_some_and(|settings| workspace().join(settings).is_file())
        }
        (Some("chatctl"), Some("load")) if command.contains(" --key-file ") => true,
        (Some(script), _) if script.starts_with("benches/") => workspace().join(script).exists(),
        _ => return Ok(false),
    };
    anyhow::ensure!(known, "`{command}` names a level, script or package that does not exist");
    Ok(true)
}

/// Starts and ends `chatctl local` with a documented command line, on a directory and ports of its own.
async fn run_local(command: &str) -> anyhow::Result<()> {
    let data_dir = tempfile::tempdir()?;
    let mut words = command.split_whitespace().skip(2).map(str::to_owned);
    let (mut manifest, mut arguments) = (None, Vec::new());
    while let Some(word) = words.next() {
        match word.as_str() {
            "-f" | "--file" => manifest = words.next(),
            "--data-dir" | "--port" | "--demo-port" => drop(words.next()),
            "--json" => {}
            _ => arguments.push(word),
        }
    }
    let manifest = workspace().join(manifest.context("chatctl local needs -f")?);
    let setup = Setup { manifest, arguments, ..Setup::example(data_dir.path()) };
    let ended = setup.with(&["--demo-port", "0"]).start().await?.interrupt().await?;
    anyhow::ensure!(ended.success(), "it ended with {ended}");
    Ok(())
}

/// Runs the commands in a folder that has the running stack's data as `.chatcluster`.
async fn run(folder: &Path, stack: &Stack, commands: &[&str]) -> anyhow::Result<()> {
    let front_door = stack.url.trim_start_matches("http://");
    let script = commands.join("\n").replace(FRONT_DOOR, front_door);
    let shown = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(folder)
        .env("PATH", format!("{}:{}", folder.display(), std::env::var("PATH")?))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(BLOCK, shown).await.context("wait for the commands")??;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // What `curl` shows of a refusal is an answer to it, but not what the reader was promised.
    // The command worked; that its generator was late is a matter of the machine.
    let is_void = output.status.code() == Some(3) && script.contains("chatctl load");
    if !(output.status.success() || is_void) || out.contains("urn:chatcluster:error:") {
        bail!("{}: {script}\n{out}\n{err}", output.status);
    }
    Ok(())
}

#[tokio::test]
async fn every_command_in_the_documents_works() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data_dir = folder.path().join(".chatcluster");
    let stack = Setup::example(&data_dir).with(&["--demo-port", "0"]).start().await?;
    // As on a reader's PATH, and as in a checkout.
    symlink(tests::chatctl()?, folder.path().join("chatctl"))?;
    symlink(workspace().join("examples"), folder.path().join("examples"))?;

    let (mut ran, mut failed) = (0, Vec::new());
    for document in documents()? {
        for block in blocks(&document)? {
            let mut script = Vec::new();
            for command in &block.commands {
                let result = if is_looked_up(command)? {
                    Ok(())
                } else if command.starts_with("chatctl local") {
                    run_local(command).await
                } else {
                    script.push(command.as_str());
                    Ok(())
                };
                if let Err(error) = result {
                    failed.push(format!("{}: {command}: {error:#}", block.place));
                }
            }
            ran += block.commands.len();
            if let Err(error) = run(folder.path(), &stack, &script).await {
                failed.push(format!("{}: {error:#}", block.place));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {ran} failed:\n{}", failed.len(), failed.join("\n"));
    assert!(ran > 10, "only {ran} commands were found");
    Ok(())
}
