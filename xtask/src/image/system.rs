//! What `system.erofs` holds, as seen at `/usr`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use coracle_config::Layer;

use super::kernel::Kernel;
use super::tree::{Entry, Tree};

/// Names under which PID 1's own mount namespace has our binary (ARCHITECTURE.md, "Roles of the one binary").
const ROLES: &[&str] = &["halt", "init", "poweroff", "reboot", "ros", "shutdown"];

/// Drivers of devices, of which one machine needs few.
pub fn drivers(kernel: &Kernel) -> Tree {
    modules_where(kernel, |path| path.contains("/kernel/drivers/"))
}

/// The kernel's other modules, and the indices.
pub fn modules(kernel: &Kernel) -> Tree {
    modules_where(kernel, |path| !path.contains("/kernel/drivers/"))
}

fn modules_where(kernel: &Kernel, wanted: fn(&str) -> bool) -> Tree {
    let mut tree = Tree::default();
    for (path, entry) in kernel.system.iter() {
        if let Some(path) = path.strip_prefix("usr/").filter(|path| wanted(path)) {
            tree.insert(path, entry.clone());
        }
    }
    tree
}

/// What changes often: our binary and the shared data.
pub fn top(images: &Path, binary: &Arc<[u8]>, version: &str) -> anyhow::Result<Tree> {
    let mut tree = Tree::default();
    tree.insert("lib/firmware", Entry::directory(0o755));
    tree.insert("bin/coracle", Entry::file(binary.clone(), 0o755));
    for role in ROLES {
        tree.insert(&format!("bin/{role}"), Entry::symlink("coracle"));
    }
    let config = read(&images.join("os-config.yml"))?.replace("@VERSION@", version);
    tree.insert(
        "share/ros/os-config.json",
        Entry::file(parsed(&config)?, 0o644),
    );
    tree.insert(
        "share/ros/os-config.yml",
        Entry::file(config.into_bytes(), 0o644),
    );
    tree.insert(
        "share/ros/os-release",
        Entry::file(os_release(version).into_bytes(), 0o644),
    );
    tree.insert("share/ros/oem", Entry::directory(0o755));
    tree.overlay(
        "share/ros/services",
        Tree::read_directory(&images.join("services"))?,
    );
    tree.insert_missing("share/ros/services", Entry::directory(0o755));
    Ok(tree)
}

/// `os-config.yml` as the machine's programs want it.
fn parsed(config: &str) -> anyhow::Result<Vec<u8>> {
    let (layer, problems) = Layer::from_yaml("images/os-config.yml", config);
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(serde_json::to_vec(&layer.tree)?)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// os-release(5).
pub fn os_release(version: &str) -> String {
    let plain = version.trim_start_matches('v');
    format!(
        "NAME=\"Coracle\"\nVERSION=\"{version}\"\nID=coracle\nID_LIKE=\"rancheros debian\"\nVERSION_ID=\"{plain}\"\n\
         PRETTY_NAME=\"Coracle {version}\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_configuration_is_parsed_once_for_all() {
        let config = "hostname: a\nrancher: {sysctl: {vm: {swappiness: 0}}}\n";
        assert_eq!(
            String::from_utf8(parsed(config).unwrap()).unwrap(),
            r#"{"hostname":"a","rancher":{"sysctl":{"vm.swappiness":0}}}"#
        );
        let error = parsed("rancher:\n  ssh: {port: no}\n").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("images/os-config.yml:2: rancher.ssh.port"),
            "{error}"
        );
    }
}
