//! The helper process: `coracle runtime …`.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the helper. `args` are those after `coracle runtime`.
///
/// Must be called in a single-threaded process, before anything else was opened.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let _ = args;
    unimplemented!()
}
