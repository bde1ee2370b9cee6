//! The binary `chatctl`; all it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    chatctl::main()
}
