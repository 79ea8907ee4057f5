//! The labels that steer a service (inventory D.2) and those that Coracle writes on the containers it makes.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// `system` or `user` (the default for services from outside os-config.yml): which engine runs the service (D2-001).
pub const SCOPE: &str = "io.rancher.os.scope";
/// `false`: those that wait for this service wait until its container has exited (D2-002).
pub const DETACH: &str = "io.rancher.os.detach";
/// Absolute path: those that wait for this service wait until there is such a file (B10-015).
pub const DONE: &str = "io.rancher.os.done";
/// `true`: the container is made but not started (D2-003).
pub const CREATE_ONLY: &str = "io.rancher.os.createonly";
/// `true`: when the service is done, definitions are read again (D2-004).
pub const RELOAD_CONFIG: &str = "io.rancher.os.reloadconfig";
/// Comma list of services that come first (D2-005).
pub const AFTER: &str = "io.rancher.os.after";
/// Comma list of services that wait for this one (D2-006).
pub const BEFORE: &str = "io.rancher.os.before";
/// Name of the console this service is; a change makes a new container (D2-007).
pub const CONSOLE: &str = "io.rancher.os.console";
/// `always` or `false`: overrides recreate-on-change (D2-008).
pub const REBUILD: &str = "io.docker.compose.rebuild";
/// `container:NAME`: the root file system is that container's (ARCHITECTURE.md, labels of System Docker).
pub const ROOT: &str = "io.rancher.os.root";

/// The project a container belongs to; always [`PROJECT_NAME`].
pub const PROJECT: &str = "io.docker.compose.project";
/// The service a container was made for.
pub const SERVICE: &str = "io.docker.compose.service";
/// Digest of everything the container was made from (D2-018).
pub const CONFIG_HASH: &str = "io.docker.compose.config-hash";
/// Name of the one project, upstream's.
pub const PROJECT_NAME: &str = "os";

/// Which engine runs a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// System Docker.
    System,
    /// User Docker: the default, as upstream's (D2-001).
    #[default]
    User,
}

/// What the rebuild label asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rebuild {
    /// A new container each time.
    Always,
    /// Keep the container whatever changed: the console's layer belongs to its user.
    Never,
    /// A new container when definition or image changed.
    #[default]
    WhenChanged,
}

/// The steering labels of one service, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steering {
    /// Which engine.
    pub scope: Scope,
    /// Whether dependants go on as soon as it runs.
    pub detach: bool,
    /// The file that says that it is ready.
    pub done: Option<PathBuf>,
    /// Whether it is only made.
    pub create_only: bool,
    /// Whether definitions are read again afterwards.
    pub reload_config: bool,
    /// Services that come first.
    pub after: Vec<String>,
    /// Services that wait.
    pub before: Vec<String>,
    /// When its container is replaced.
    pub rebuild: Rebuild,
    /// Container whose root file system it uses.
    pub root: Option<String>,
}

impl Default for Steering {
    fn default() -> Self {
        read(&BTreeMap::new()).0
    }
}

/// Reads the steering labels; the second part lists labels whose value makes no sense, as (label, reason).
pub(crate) fn read(labels: &BTreeMap<String, String>) -> (Steering, Vec<(&'static str, String)>) {
    let mut problems = Vec::new();
    let mut flag = |label: &'static str, default: bool| match labels.get(label).map(|s| s.trim()) {
        None | Some("") => default,
        Some("true") => true,
        Some("false") => false,
        Some(other) => {
            problems.push((label, format!("expected true or false, found '{other}'")));
            default
        }
    };
    let detach = flag(DETACH, true);
    let create_only = flag(CREATE_ONLY, false);
    let reload_config = flag(RELOAD_CONFIG, false);
    let list = |label| {
        labels
            .get(label)
            .map(|value| {
                value
                    .split(',')
                    .map(str::trim)
                    .filter(|name| !name.is_empty())
                    .map(String::from)
                    .collect()
            })
            .unwrap_or_default()
    };
    let scope = match labels.get(SCOPE).map(|s| s.trim()) {
        Some("system") => Scope::System,
        None | Some("user" | "") => Scope::User,
        Some(other) => {
            problems.push((SCOPE, format!("expected system or user, found '{other}'")));
            Scope::User
        }
    };
    let rebuild = match labels.get(REBUILD).map(|s| s.trim()) {
        Some("always") => Rebuild::Always,
        Some("false" | "never") => Rebuild::Never,
        None | Some("true" | "") => Rebuild::WhenChanged,
        Some(other) => {
            problems.push((
                REBUILD,
                format!("expected always, true or false, found '{other}'"),
            ));
            Rebuild::WhenChanged
        }
    };
    let done = match labels.get(DONE).map(PathBuf::from) {
        Some(path) if path.is_relative() => {
            problems.push((DONE, "expected an absolute path".into()));
            None
        }
        path => path,
    };
    let root = match labels
        .get(ROOT)
        .map(|value| value.strip_prefix("container:"))
    {
        None => None,
        Some(Some(name)) if !name.is_empty() => Some(name.to_string()),
        Some(_) => {
            problems.push((ROOT, "expected container:NAME".into()));
            None
        }
    };
    let steering = Steering {
        scope,
        detach,
        done,
        create_only,
        reload_config,
        after: list(AFTER),
        before: list(BEFORE),
        rebuild,
        root,
    };
    (steering, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_labels_are_read() {
        let labels = [
            (SCOPE, "system"),
            (DETACH, "false"),
            (DONE, "/run/done"),
            (CREATE_ONLY, "true"),
            (RELOAD_CONFIG, "true"),
            (AFTER, "udev, network,"),
            (BEFORE, "console"),
            (REBUILD, "false"),
            (ROOT, "container:console"),
        ];
        let labels = labels.map(|(k, v)| (k.to_string(), v.to_string())).into();
        let want = Steering {
            scope: Scope::System,
            detach: false,
            done: Some("/run/done".into()),
            create_only: true,
            reload_config: true,
            after: vec!["udev".into(), "network".into()],
            before: vec!["console".into()],
            rebuild: Rebuild::Never,
            root: Some("console".into()),
        };
        assert_eq!(read(&labels), (want, vec![]));
    }

    #[test]
    fn senseless_values_are_reported_and_defaulted() {
        let labels = [
            (SCOPE, "galaxy"),
            (DETACH, "sometimes"),
            (DONE, "soon"),
            (REBUILD, "maybe"),
            (ROOT, "console"),
        ];
        let labels = labels.map(|(k, v)| (k.to_string(), v.to_string())).into();
        let (steering, problems) = read(&labels);
        assert_eq!(steering, Steering::default());
        assert_eq!(
            problems,
            [
                (DETACH, "expected true or false, found 'sometimes'".into()),
                (SCOPE, "expected system or user, found 'galaxy'".into()),
                (
                    REBUILD,
                    "expected always, true or false, found 'maybe'".into()
                ),
                (DONE, "expected an absolute path".into()),
                (ROOT, "expected container:NAME".into()),
            ]
        );
    }
}
