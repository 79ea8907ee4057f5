//! crun, the other OCI runtime: dockerd with it is a third column.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coracle_testkit::{Project, Ssh};
use coracle_toolbox::{Archive, Suite, unpack};

/// Debian's crun, and the libraries of which the console has none or a stand-in.
const PACKAGES: &[&str] = &["crun", "libyajl2", "libsystemd0"];
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const DAEMON_JSON: &str = "/etc/docker/daemon.json";
const LIMIT: Duration = Duration::from_secs(600);

/// Copies crun below `directory` of the machine and makes it a runtime of dockerd, which is started again for it. A machine whose
/// dockerd has settings of its own is left as it is.
pub fn install(project: &Project, ssh: &Ssh, directory: &str) -> Result<()> {
    let given = format!("test ! -e {DAEMON_JSON}");
    if ssh.exec(&given, Vec::new(), LIMIT)?.code != 0 {
        eprintln!(
            "{DAEMON_JSON} exists in the machine: without crun, unless it is a runtime there"
        );
        return Ok(());
    }
    let script = format!(
        "set -e; mkdir -p {directory}; tar x -C {directory}
        printf '#!/bin/sh\\nLD_LIBRARY_PATH={directory}/{LIBRARIES} exec {directory}/usr/bin/crun \"$@\"\\n' > {directory}/crun
        chmod 755 {directory}/crun
        echo '{{\"runtimes\": {{\"crun\": {{\"path\": \"{directory}/crun\"}}}}}}' | sudo tee {DAEMON_JSON} > /dev/null
        sudo system-docker restart docker; sudo wait-for-docker"
    );
    let installed = ssh.exec(&script, files(project)?, LIMIT)?;
    ensure!(
        installed.code == 0,
        "cannot set up crun: {}",
        installed.stderr
    );
    Ok(())
}

/// An archive of the program and the libraries.
fn files(project: &Project) -> Result<Vec<u8>> {
    let archive = Archive::open(&project.cache(), Suite::Trixie, false)?;
    let tree = tempfile::tempdir()?;
    for deb in archive.fetch(&archive.packages(PACKAGES)?)? {
        unpack(&deb, tree.path())?;
    }
    let mut tar = tar::Builder::new(Vec::new());
    tar.follow_symlinks(false);
    let mut add = |path: &Path| {
        tar.append_path_with_name(tree.path().join(path), path)
            .with_context(|| format!("cannot pack {}", path.display()))
    };
    add(Path::new("usr/bin/crun"))?;
    for entry in fs::read_dir(tree.path().join(LIBRARIES))? {
        add(&Path::new(LIBRARIES).join(entry?.file_name()))?;
    }
    Ok(tar.into_inner()?)
}
