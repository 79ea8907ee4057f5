use std::fs::File;
use std::path::Path;

use crate::{Error, Project, Result};

const MIB: u64 = 1024 * 1024;

/// Creates an empty disk, sparse on the host. An existing file is replaced.
pub fn create_blank(path: &Path, size_mib: u64) -> Result<()> {
    let file = File::create(path).map_err(Error::io("create", path))?;
    file.set_len(size_mib * MIB)
        .map_err(Error::io("enlarge", path))
}

/// Creates a disk that holds one ext4 file system with this label and no partition table.
pub fn create_ext4(project: &Project, path: &Path, size_mib: u64, label: &str) -> Result<()> {
    create_blank(path, size_mib)?;
    let mut command = project.toolbox()?.command("mkfs.ext4")?;
    // Lazy initialisation is the guest's work otherwise, and would disturb what is measured there.
    command
        .args([
            "-q",
            "-F",
            "-L",
            label,
            "-E",
            "lazy_itable_init=0,lazy_journal_init=0",
        ])
        .arg(path);
    run(command, "mkfs.ext4")
}

/// Runs a tool that prints nothing worth keeping.
pub(crate) fn run(mut command: std::process::Command, program: &str) -> Result<()> {
    let output = command.output().map_err(Error::io("run", program))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Program {
        program: program.to_owned(),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
