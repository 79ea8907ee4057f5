//! Links from `/usr/bin` to the programs of the Docker Engine, which lie outside the console (inventory A7-015).

use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::error::Error;

/// Where the engine's programs are (B10-005).
pub const ENGINE_DIRECTORY: &str = "/var/lib/rancher/engine";
/// Where the docker command looks for plugins such as compose.
const PLUGINS: &str = "/usr/libexec/docker/cli-plugins";
/// Their place on the state partition.
const PLUGIN_DIRECTORY: &str = "/var/lib/rancher/engine-plugins";

/// Links each executable of the engine's directory into `usr/bin`, leaving alone what the console has itself; links to
/// programs that are gone (after `ros engine switch`) are removed.
///
/// # Errors
/// `usr/bin` cannot be changed.
pub fn make(root: &Path) -> Result<(), Error> {
    let engine = root.join(ENGINE_DIRECTORY.trim_start_matches('/'));
    let bin = root.join("usr/bin");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&engine).into_iter().flatten().flatten() {
        let executable = std::fs::metadata(entry.path())
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
        if executable {
            names.push(entry.file_name());
        }
    }
    // No programs at all means that the engine is not there yet, not that it has none.
    let removable = match names.is_empty() {
        true => None,
        false => std::fs::read_dir(&bin).ok(),
    };
    for entry in removable.into_iter().flatten().flatten() {
        let stale = std::fs::read_link(entry.path())
            .is_ok_and(|target| target.parent() == Some(Path::new(ENGINE_DIRECTORY)))
            && !names.contains(&entry.file_name());
        if stale {
            std::fs::remove_file(entry.path()).map_err(Error::file("remove", &entry.path()))?;
        }
    }
    for name in names {
        link(&Path::new(ENGINE_DIRECTORY).join(&name), &bin.join(&name))?;
    }
    let plugins = root.join(PLUGINS.trim_start_matches('/'));
    if let Some(parent) = plugins.parent() {
        std::fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
    }
    link(Path::new(PLUGIN_DIRECTORY), &plugins)
}

fn link(target: &Path, link: &Path) -> Result<(), Error> {
    match symlink(target, link) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(Error::file("create the link", link)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_linked_and_stale_links_removed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let engine = root.join("var/lib/rancher/engine");
        std::fs::create_dir_all(&engine).unwrap();
        std::fs::create_dir_all(root.join("usr/bin")).unwrap();
        for (name, mode) in [("docker", 0o755), ("iptables", 0o755), ("README", 0o644)] {
            std::fs::write(engine.join(name), "").unwrap();
            std::fs::set_permissions(engine.join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        std::fs::write(root.join("usr/bin/iptables"), "the console's own").unwrap();
        symlink(
            "/var/lib/rancher/engine/docker-old",
            root.join("usr/bin/docker-old"),
        )
        .unwrap();
        make(root).unwrap();
        make(root).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(root.join("usr/bin"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["docker", "iptables"]);
        assert_eq!(
            std::fs::read_link(root.join("usr/bin/docker")).unwrap(),
            Path::new("/var/lib/rancher/engine/docker")
        );
        assert!(root.join("usr/bin/iptables").is_file());
    }
}
