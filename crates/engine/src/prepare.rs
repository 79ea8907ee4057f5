//! Everything that must be in place before a container's process can be made, and taking it down again.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coracle_runtime::{capabilities, device_filter, devices, seccomp};
use oci_spec::runtime::{Capabilities, LinuxDevice, LinuxDeviceCgroup};
use rustix::mount::{MountFlags, mount};

use crate::cgroup::Cgroup;
use crate::container::Container;
use crate::disk::{self, Durability};
use crate::engine::Engine;
use crate::error::{Doing, Error, Result};
use crate::namespaces::{Mode, Modes};
use crate::record::Record;
use crate::rootfs::{Overlay, detach};
use crate::security::{self, Seccomp};
use crate::spec::{self, Input};
use crate::user::{self, Account};
use crate::{listen, resources, scoped};

/// Label of a container whose root is another container's.
pub const ROOT_LABEL: &str = "io.rancher.os.root";

/// What a run needs.
#[derive(Debug)]
pub struct Prepared {
    /// Directory with `config.json`.
    pub bundle: PathBuf,
    /// Whose root is in use.
    pub root_of: String,
    /// Sockets to hand over.
    pub listen_fds: Vec<OwnedFd>,
}

impl Engine {
    /// Directory of a container's bundle, of its exec processes' files, and of its own `hostname`, `hosts` and `resolv.conf`: in
    /// memory, so that a full disk keeps no container from starting again.
    pub fn bundle(&self, id: &str) -> PathBuf {
        self.options.exec_root.join("bundles").join(id)
    }

    pub(crate) fn cgroup_of(&self, record: &Record) -> Cgroup {
        self.cgroups
            .container(&record.id, record.host_config.cgroup_parent.as_deref())
    }

    /// The overlay of a container's own root. An image without layers gets an empty one.
    pub(crate) fn overlay_of(&self, container: &Container) -> Overlay {
        let mut layers = container.data().record.layers.clone();
        if layers.is_empty() {
            let empty = self.options.exec_root.join("empty");
            if let Err(error) = fs::create_dir_all(&empty) {
                tracing::warn!("make {}: {error}", empty.display());
            }
            layers.push(empty);
        }
        Overlay {
            layers,
            writable: container.dir().to_owned(),
        }
    }

    /// The container whose root `container` uses: itself, or the one that its label names.
    pub(crate) fn root_owner(&self, container: &Arc<Container>) -> Result<Arc<Container>> {
        let label = container.data().record.label(ROOT_LABEL).map(str::to_owned);
        let Some(label) = label else {
            return Ok(Arc::clone(container));
        };
        let name = label.strip_prefix("container:").ok_or_else(|| {
            Error::Invalid(format!(
                "invalid label {ROOT_LABEL}: \"{label}\": expected container:NAME"
            ))
        })?;
        self.find(name)
    }

    /// Puts everything in place. Blocks. When it fails, nothing stays.
    pub(crate) fn prepare(&self, container: &Arc<Container>) -> Result<Prepared> {
        self.take_over_hostname(container)?;
        let record = container.data().record.clone();
        let owner = self.root_owner(container)?;
        let root = self.roots.acquire(owner.id(), &self.overlay_of(&owner))?;
        let bundle = self.bundle(&record.id);
        let result = self.fill_bundle(container, &record, &root, &bundle);
        match result {
            Ok(listen_fds) => Ok(Prepared {
                bundle,
                root_of: owner.id().to_owned(),
                listen_fds,
            }),
            Err(error) => {
                self.take_down(&record, owner.id());
                Err(error)
            }
        }
    }

    /// In another container's network one has its name.
    fn take_over_hostname(&self, container: &Container) -> Result<()> {
        let host = container.data().record.host_config.clone();
        let Mode::Container(name) = Modes::parse(&host)?.net else {
            return Ok(());
        };
        // One that does not exist is reported with its namespace.
        if let Ok(other) = self
            .find(name)
            .map(|other| other.data().record.config.clone())
        {
            let mut data = container.data();
            data.record.config.hostname = other.hostname;
            data.record.config.domainname = other.domainname;
        }
        Ok(())
    }

    /// Undoes [`Engine::prepare`], after a run or a failed start. Blocks.
    pub(crate) fn take_down(&self, record: &Record, root_of: &str) {
        let cgroup = self.cgroup_of(record);
        cgroup.kill();
        self.release_networks(record);
        if let Err(error) = self.runtime.delete(&record.id) {
            tracing::warn!("{error}");
        }
        cgroup.remove();
        let bundle = self.bundle(&record.id);
        if bundle.join("shm").exists() {
            detach(&bundle.join("shm"));
        }
        self.release_sources(record);
        if let Err(error) = fs::remove_dir_all(&bundle)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("remove {}: {error}", bundle.display());
        }
        self.roots.release(root_of);
    }

    fn fill_bundle(
        &self,
        container: &Container,
        record: &Record,
        root: &Path,
        bundle: &Path,
    ) -> Result<Vec<OwnedFd>> {
        fs::create_dir_all(bundle).doing(|| format!("make {}", bundle.display()))?;
        let host = &record.host_config;
        let security = security::parse(&host.security_opt.clone().unwrap_or_default())?;
        let modes = Modes::parse(host)?;
        let namespaces = modes.resolve(|name, kind| self.namespace_path(name, kind))?;
        let privileged = host.privileged.unwrap_or(false);
        let capabilities = self.capabilities_of(record)?;
        let seccomp = match security.seccomp {
            _ if privileged => None,
            Seccomp::Unconfined => None,
            Seccomp::Default => Some(seccomp::default_profile(&capabilities)),
            Seccomp::Profile(json) => Some(seccomp::parse_profile(&json, &capabilities)?),
        };
        let mounts = self.mount_sources(record)?;
        make_working_dir(root, record)?;
        self.allocate_networks(record)?;
        let files = self.write_files(container, record, &modes)?;
        let account = account(
            root,
            record,
            record.config.user.as_deref().unwrap_or_default(),
        )?;
        let hostname =
            (modes.uts != Mode::Host).then(|| record.config.hostname.clone().unwrap_or_default());
        let (shm, mqueue) = self.ipc_dirs(record, &modes, bundle)?;
        let (devices, device_rules) = devices_of(record)?;
        let sockets = listen::parse(record.label(listen::LABEL).unwrap_or_default())?;
        let listen_fds = self.listeners.descriptors(&sockets)?;

        // In another one's process namespace there is an init already.
        let wants_init = host.init.unwrap_or(self.options.settings.init);
        let init = (wants_init && modes.pid == Mode::Private)
            .then(init_program)
            .transpose()?;

        let cgroup = self.cgroup_of(record);
        cgroup.create()?;
        cgroup.apply(&resources::settings(host, device_number)?)?;
        device_filter::attach(cgroup.dir(), &device_rules)?;

        let spec = spec::generate(Input {
            record,
            root,
            cgroup_path: cgroup.path(),
            account: &account,
            hostname: hostname.as_deref(),
            namespaces: &namespaces,
            mounts: &mounts,
            files: &files,
            shm: shm.as_deref(),
            mqueue: mqueue.as_deref(),
            capabilities: &capabilities,
            seccomp,
            no_new_privileges: security
                .no_new_privileges
                .unwrap_or(self.options.settings.no_new_privileges),
            writable_cgroups: security.writable_cgroups,
            devices,
            device_rules,
            init: init.as_deref(),
            ulimits: &self.options.settings.all_ulimits(host),
            listen_fds: listen_fds.len(),
        });
        disk::write_json(&bundle.join("config.json"), &spec, Durability::Ordered)?;
        Ok(listen_fds)
    }

    pub(crate) fn capabilities_of(&self, record: &Record) -> Result<Capabilities> {
        let host = &record.host_config;
        let list = |names: &Option<Vec<String>>| names.clone().unwrap_or_default();
        let privileged = host.privileged.unwrap_or(false);
        Ok(capabilities::resolve(
            &list(&host.cap_add),
            &list(&host.cap_drop),
            privileged,
            &self.capabilities,
        )?)
    }

    /// The path of a namespace of a running container.
    fn namespace_path(&self, name: &str, kind: &str) -> Result<PathBuf> {
        let what = match kind {
            "net" => "network",
            "ipc" => "IPC",
            "pid" => "PID",
            other => other,
        };
        let other = self.find(name).map_err(|error| {
            Error::MissingForStart(if kind == "net" {
                format!("joining {what} namespace of container: {error}")
            } else {
                error.to_string()
            })
        })?;
        let data = other.data();
        let running = data.running.as_ref().ok_or_else(|| {
            Error::Conflict(format!(
                "cannot join {what} namespace of a non running container: container {} is {}",
                name,
                data.state.status.name()
            ))
        })?;
        Ok(format!("/proc/{}/ns/{kind}", running.pid.as_raw_nonzero()).into())
    }

    /// Writes the files that are mounted over the image's, and gives their places.
    fn write_files(
        &self,
        container: &Container,
        record: &Record,
        modes: &Modes<'_>,
    ) -> Result<Vec<(String, PathBuf)>> {
        const NAMES: [&str; 3] = ["hostname", "hosts", "resolv.conf"];
        // In another container's network its files are one's own.
        let owner = match modes.net {
            Mode::Container(name) => Some(self.find(name)?),
            _ => None,
        };
        let bundle = self.bundle(owner.as_deref().unwrap_or(container).id());
        if owner.is_none() {
            let contents = self.network_files(record, &modes.net)?;
            for (name, content) in NAMES.iter().zip(contents) {
                let path = bundle.join(name);
                fs::write(&path, content).doing(|| format!("write {}", path.display()))?;
            }
        }
        Ok(NAMES
            .iter()
            .map(|name| (format!("/etc/{name}"), bundle.join(name)))
            .collect())
    }

    /// The host's directories for `/dev/shm` and `/dev/mqueue`, where the container does not get its own.
    fn ipc_dirs(
        &self,
        record: &Record,
        modes: &Modes<'_>,
        bundle: &Path,
    ) -> Result<(Option<PathBuf>, Option<PathBuf>)> {
        match modes.ipc {
            Mode::Host => Ok((
                Some("/dev/shm".into()),
                Some("/dev/mqueue".into()).filter(|path: &PathBuf| path.exists()),
            )),
            Mode::Container(name) => {
                let other = self.find(name)?;
                let mode = other
                    .data()
                    .record
                    .host_config
                    .ipc_mode
                    .clone()
                    .unwrap_or_default();
                if mode != "shareable" && mode != "host" {
                    return Err(Error::Conflict(format!(
                        "failed to join IPC namespace: container {}: non-shareable IPC (hint: use IpcMode:shareable for the \
                         donor container)",
                        other.id()
                    )));
                }
                let shm = if mode == "host" {
                    "/dev/shm".into()
                } else {
                    self.bundle(other.id()).join("shm")
                };
                Ok((Some(shm), None))
            }
            Mode::Private if record.host_config.ipc_mode.as_deref() == Some("shareable") => {
                let shm = bundle.join("shm");
                fs::create_dir_all(&shm).doing(|| format!("make {}", shm.display()))?;
                let size = record.host_config.shm_size.unwrap_or(64 << 20);
                let options = std::ffi::CString::new(format!("mode=1777,size={size}"))
                    .map_err(|error| Error::Internal(error.to_string()))?;
                let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
                mount("shm", &shm, "tmpfs", flags, Some(options.as_c_str()))
                    .doing(|| format!("mount {}", shm.display()))?;
                Ok((Some(shm), None))
            }
            Mode::Private | Mode::Network(_) => Ok((None, None)),
        }
    }
}

/// The program that becomes a container's init: Docker's where it is installed, else this one in its role.
fn init_program() -> Result<PathBuf> {
    let installed = ["/usr/libexec/docker", "/usr/local/bin", "/usr/bin"]
        .map(|dir| Path::new(dir).join("docker-init"));
    match installed.into_iter().find(|path| path.exists()) {
        Some(path) => Ok(path),
        None => std::env::current_exe().doing(|| "find the program of containers' init"),
    }
}

/// Who `user` is, by the files of the root.
pub(crate) fn account(root: &Path, record: &Record, user: &str) -> Result<Account> {
    let root = scoped::root(root).doing(|| format!("open {}", root.display()))?;
    let read = |path: &str| {
        scoped::read_to_string(&root, path.as_ref())
            .doing(|| format!("read {path} of container {}", record.id))
    };
    let added = record.host_config.group_add.clone().unwrap_or_default();
    user::resolve(user, &added, &read("etc/passwd")?, &read("etc/group")?)
}

/// Makes the working directory where the image has none, as Docker does.
fn make_working_dir(root: &Path, record: &Record) -> Result<()> {
    let Some(dir) = record
        .config
        .working_dir
        .as_deref()
        .filter(|dir| !dir.is_empty())
    else {
        return Ok(());
    };
    let doing = || format!("make working directory {dir} of container {}", record.id);
    let root = scoped::root(root).doing(doing)?;
    match scoped::make_dir(&root, Path::new(dir)) {
        // A file is in the way: the container's start says so in Docker's words.
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(()),
        result => result.map(drop).doing(doing),
    }
}

/// The device nodes of a container besides the standard ones, and the devices that it may use.
fn devices_of(record: &Record) -> Result<(Vec<LinuxDevice>, Vec<LinuxDeviceCgroup>)> {
    let host = &record.host_config;
    let privileged = host.privileged.unwrap_or(false);
    let (found, mut rules) = if privileged {
        (
            devices::host_devices(Path::new("/dev"))?,
            devices::privileged_rules(),
        )
    } else {
        (Vec::new(), devices::default_rules())
    };
    let by_path = |node: LinuxDevice| (node.path().clone(), node);
    let mut nodes: BTreeMap<PathBuf, LinuxDevice> = found.into_iter().map(by_path).collect();
    for mapping in host.devices.iter().flatten() {
        let on_host = mapping.path_on_host.as_deref().unwrap_or_default();
        let inside = mapping
            .path_in_container
            .as_deref()
            .filter(|path| !path.is_empty())
            .unwrap_or(on_host);
        let permissions = mapping
            .cgroup_permissions
            .as_deref()
            .filter(|text| !text.is_empty())
            .unwrap_or("rwm");
        let (more, more_rules) =
            devices::from_host(on_host.as_ref(), inside.as_ref(), permissions)?;
        nodes.extend(more.into_iter().map(by_path));
        if !privileged {
            rules.extend(more_rules);
        }
    }
    if !privileged {
        for text in host.device_cgroup_rules.iter().flatten() {
            rules.push(devices::parse_rule(text)?);
        }
    }
    Ok((nodes.into_values().collect(), rules))
}

/// `major:minor` of a block device.
pub(crate) fn device_number(path: &str) -> Result<String> {
    let metadata = fs::metadata(path).doing(|| format!("look at device {path}"))?;
    if !metadata.file_type().is_block_device() {
        return Err(Error::Invalid(format!("{path} is not a block device")));
    }
    let device = metadata.rdev();
    Ok(format!(
        "{}:{}",
        rustix::fs::major(device),
        rustix::fs::minor(device)
    ))
}
