//! Scripts: what must happen at once on the server, which also keeps the time.

use std::sync::OnceLock;

use ::redis::{Arg, Cmd, ToRedisArgs, cmd};

use super::Ask;

/// A script of one key. It is called by its hash, and sent whole to a server that does not have it.
#[derive(Debug)]
pub(crate) struct Script {
    text: &'static str,
    hash: OnceLock<String>,
}

impl Script {
    pub(crate) const fn new(text: &'static str) -> Self {
        Self { text, hash: OnceLock::new() }
    }

    /// Makes a call on a key.
    pub(crate) fn on(&'static self, key: &str, arguments: impl ToRedisArgs) -> Ask {
        let hash = self.hash.get_or_init(|| ::redis::Script::new(self.text).get_hash().to_owned());
        let mut command = cmd("EVALSHA");
        command.arg(hash).arg(1).arg(key).arg(arguments);
        Ask { command, script: Some(self) }
    }

    /// Returns a call with the script in place of its hash.
    pub(super) fn whole(&self, call: &Cmd) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(self.text);
        for argument in call.args_iter().skip(2) {
            if let Arg::Simple(argument) = argument {
                command.arg(argument);
            }
        }
        command
    }
}
