//! The helper process `coracle unpack …`.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the helper. `args` are those after `coracle unpack`.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let _ = args;
    unimplemented!()
}
