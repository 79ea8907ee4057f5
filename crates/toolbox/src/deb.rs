use std::path::Path;
use std::process::Command;

use crate::archive::run;
use crate::{Error, Result};

/// Unpacks a package's files below `root`, without its maintainer scripts.
pub fn unpack(deb: &Path, root: &Path) -> Result<()> {
    std::fs::create_dir_all(root).map_err(Error::io("create", root))?;
    run(
        Command::new("dpkg-deb").arg("--extract").arg(deb).arg(root),
        "dpkg-deb",
        "dpkg",
    )
    .map(drop)
}
