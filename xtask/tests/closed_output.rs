//! What commands do when nobody reads their output any more.

use std::io;
use std::process::Command;

#[test]
fn a_command_succeeds_although_its_reader_has_gone() {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["vm", "list"])
        .stdout(writer)
        .status();
    assert!(status.expect("xtask runs").success());
}
