//! Creating containers: checking what the client asks for, filling in defaults, and writing it down.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use bollard_stubs::models::{
    ContainerConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, NetworkingConfig,
    RestartPolicy, RestartPolicyNameEnum,
};
use coracle_image::Image;

use crate::container::Container;
use crate::engine::{Engine, blocking};
use crate::error::{Doing, Error, Result};
use crate::events::Kind;
use crate::image_defaults;
use crate::logs::Rotation;
use crate::mounts::{self, Sources};
use crate::namespaces::{Mode, Modes};
use crate::record::{MountKind, MountPoint, Record, State};
use crate::restart::Policy;
use crate::volumes::{ANONYMOUS_LABEL, VolumeRequest};
use crate::{id, listen, log_options, names, resources, scoped, security, signals, spec, time};

/// Default size of `/dev/shm`, bytes.
const SHM_SIZE: i64 = 64 << 20;

/// What a client asks for.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// Its name; made up when absent.
    pub name: Option<String>,
    /// API: the body's own fields.
    pub config: ContainerConfig,
    /// API: `HostConfig`.
    pub host_config: HostConfig,
    /// API: `NetworkingConfig`.
    pub networking: NetworkingConfig,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// The container's id.
    pub id: String,
    /// What could not be honoured.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Creates a container, without starting it.
    ///
    /// # Errors
    /// Docker's texts for everything that is wrong with the request.
    pub async fn create(self: &Arc<Self>, request: CreateRequest) -> Result<Created> {
        let engine = Arc::clone(self);
        blocking(move || engine.create_blocking(request)).await?
    }

    fn create_blocking(&self, request: CreateRequest) -> Result<Created> {
        let CreateRequest {
            name,
            mut config,
            mut host_config,
            networking,
        } = request;
        let given_name = name
            .as_deref()
            .map(|name| name.trim_start_matches('/').to_owned());
        if let Some(name) = given_name.as_deref().filter(|name| !names::valid(name)) {
            return Err(Error::Invalid(format!(
                "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            )));
        }
        let image_name = config.image.clone().unwrap_or_default();
        let image = self.images.get(&image_name)?;
        image_defaults::merge(&mut config, &image.config);
        fill_defaults(&mut host_config);
        let id = id::generate();
        check(&config, &host_config)?;
        set_hostname(&mut config, &host_config, &id);
        let sockets = listen::parse(label(&config, listen::LABEL))?;
        let mut points = mounts::plan(&config, &host_config, self)?;
        let warnings = resources::warnings(&host_config, &self.cgroups);

        let name = self.reserve_name(given_name, &id)?;
        let dir = self.options.root.join("containers").join(&id);
        let made = self
            .make_volumes(&mut points)
            .and_then(|()| self.listeners.descriptors(&sockets).map(drop))
            .and_then(|()| {
                let record = Record {
                    id: id.clone(),
                    name: name.clone(),
                    created: time::now(),
                    image_id: image.id.to_string(),
                    layers: image.layers.clone(),
                    config,
                    host_config,
                    networking,
                    mounts: points.clone(),
                };
                self.write_new(&dir, record, &image)
            });
        let container = match made {
            Ok(container) => container,
            Err(error) => {
                self.containers
                    .write()
                    .unwrap_or_else(PoisonError::into_inner)
                    .release(&name);
                self.remove_anonymous(&points);
                // The error to report is the first one.
                let _ = fs::remove_dir_all(&dir);
                return Err(error);
            }
        };
        self.containers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(Arc::clone(&container));
        self.container_event(&container, "create", &[]);
        Ok(Created { id, warnings })
    }

    fn reserve_name(&self, given: Option<String>, id: &str) -> Result<String> {
        let mut table = self
            .containers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let name = given.unwrap_or_else(|| names::generate(|name| table.is_taken(name)));
        table.reserve(&name, id)?;
        Ok(name)
    }

    /// Makes the volumes that do not exist yet, and fills in the sources of all.
    fn make_volumes(&self, points: &mut [MountPoint]) -> Result<()> {
        for point in points
            .iter_mut()
            .filter(|point| point.kind == MountKind::Volume)
        {
            let options = point
                .spec
                .as_ref()
                .and_then(|spec| spec.volume_options.clone())
                .unwrap_or_default();
            let driver = options.driver_config.unwrap_or_default();
            let mut request = VolumeRequest {
                name: point.name.clone().unwrap_or_default(),
                driver: driver.name.unwrap_or_default(),
                options: driver.options.unwrap_or_default().into_iter().collect(),
                labels: options.labels.unwrap_or_default().into_iter().collect(),
            };
            if point.anonymous {
                request
                    .labels
                    .insert(ANONYMOUS_LABEL.to_owned(), String::new());
            }
            let (volume, new) = self.volumes.create(request)?;
            if new {
                self.volume_event("create", &volume.name, &[("driver", "local".to_owned())]);
            }
            point.source = volume.data.display().to_string();
            point.name = Some(volume.name);
        }
        Ok(())
    }

    fn write_new(
        &self,
        dir: &std::path::Path,
        record: Record,
        image: &Image,
    ) -> Result<Arc<Container>> {
        fs::create_dir_all(dir).doing(|| format!("make {}", dir.display()))?;
        let container = Container::new(dir.to_owned(), record, State::default());
        // By this file programs know that they are in a container.
        let marker = container.file("upper").join(".dockerenv");
        fs::create_dir_all(container.file("upper"))
            .and_then(|()| fs::write(&marker, ""))
            .doing(|| format!("write {}", marker.display()))?;
        self.fill_volumes(&container, image)?;
        container.save_state();
        container.save_record()?;
        Ok(Arc::new(container))
    }

    /// Copies what the image has at the mount points of empty volumes.
    fn fill_volumes(&self, container: &Container, image: &Image) -> Result<()> {
        let points: Vec<MountPoint> = {
            let data = container.data();
            let wants = |point: &&MountPoint| {
                point.kind == MountKind::Volume && !point.no_copy && point.subpath.is_none()
            };
            data.record.mounts.iter().filter(wants).cloned().collect()
        };
        // Mounting the image is only worth it when it has one of the directories.
        let in_image = |point: &MountPoint| {
            image
                .layers
                .iter()
                .any(|layer| layer.join(&point.destination[1..]).exists())
        };
        if !points.iter().any(in_image) {
            return Ok(());
        }
        let overlay = self.overlay_of(container);
        let root = self.roots.acquire(container.id(), &overlay)?;
        let result = points.iter().try_for_each(|point| {
            let doing = || {
                format!(
                    "copy {} of the image to volume {}",
                    point.destination, point.source
                )
            };
            let root = scoped::root(&root).doing(doing)?;
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
            let Ok(source) = scoped::open(&root, point.destination.as_ref(), flags) else {
                return Ok(());
            };
            let source = PathBuf::from(format!(
                "/proc/self/fd/{}/.",
                std::os::fd::AsRawFd::as_raw_fd(&source)
            ));
            mounts::copy_up(&source, point.source.as_ref()).doing(doing)
        });
        self.roots.release(container.id());
        result
    }

    pub(crate) fn remove_anonymous(&self, points: &[MountPoint]) {
        for name in points
            .iter()
            .filter(|point| point.anonymous)
            .filter_map(|point| point.name.as_ref())
        {
            match self.remove_volume_blocking(name, false) {
                Ok(()) | Err(Error::NoSuchVolume(_) | Error::Conflict(_)) => {}
                Err(error) => tracing::warn!("{error}"),
            }
        }
    }

    pub(crate) fn volume_event(&self, action: &str, name: &str, attributes: &[(&str, String)]) {
        let attributes = attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        self.events.publish(Kind::Volume, action, name, attributes);
    }
}

impl Sources for Engine {
    fn mounts_of(&self, container: &str) -> Result<Vec<MountPoint>> {
        Ok(self.find(container)?.data().record.mounts.clone())
    }
}

fn label<'a>(config: &'a ContainerConfig, name: &str) -> &'a str {
    config
        .labels
        .as_ref()
        .and_then(|labels| labels.get(name))
        .map_or("", String::as_str)
}

/// Docker's defaults, so that what is kept and shown is complete.
pub fn fill_defaults(host: &mut HostConfig) {
    let privileged = host.privileged.unwrap_or(false);
    // The engine has no bridge: a container that names no network has none.
    if matches!(host.network_mode.as_deref(), None | Some("" | "default")) {
        host.network_mode = Some("none".to_owned());
    }
    if host.ipc_mode.as_deref().unwrap_or_default().is_empty() {
        host.ipc_mode = Some("private".to_owned());
    }
    if matches!(
        host.cgroupns_mode,
        None | Some(HostConfigCgroupnsModeEnum::EMPTY)
    ) {
        host.cgroupns_mode = Some(HostConfigCgroupnsModeEnum::PRIVATE);
    }
    if host.shm_size.unwrap_or(0) == 0 {
        host.shm_size = Some(SHM_SIZE);
    }
    // Docker: as much swap as memory, counted together.
    if host.memory.unwrap_or(0) > 0 && host.memory_swap.unwrap_or(0) == 0 {
        host.memory_swap = host.memory.map(|memory| memory * 2);
    }
    host.pids_limit = host.pids_limit.filter(|limit| *limit != 0);
    let log = host
        .log_config
        .get_or_insert_with(HostConfigLogConfig::default);
    if log.typ.as_deref().unwrap_or_default().is_empty() {
        log.typ = Some("json-file".to_owned());
    }
    log.config.get_or_insert_with(HashMap::new);
    let policy = host
        .restart_policy
        .get_or_insert_with(RestartPolicy::default);
    if matches!(policy.name, None | Some(RestartPolicyNameEnum::EMPTY)) {
        policy.name = Some(RestartPolicyNameEnum::NO);
    }
    policy.maximum_retry_count.get_or_insert(0);
    host.console_size.get_or_insert_with(|| vec![0, 0]);
    host.runtime = Some("coracle".to_owned());
    if privileged {
        host.masked_paths = None;
        host.readonly_paths = None;
    } else {
        let owned = |paths: &[&str]| paths.iter().map(ToString::to_string).collect();
        host.masked_paths
            .get_or_insert_with(|| owned(spec::MASKED_PATHS));
        host.readonly_paths
            .get_or_insert_with(|| owned(spec::READONLY_PATHS));
    }
}

/// Everything that can be wrong without looking at other containers.
fn check(config: &ContainerConfig, host: &HostConfig) -> Result<()> {
    let invalid = |text: String| Err(Error::Invalid(text));
    let command = config
        .entrypoint
        .iter()
        .flatten()
        .chain(config.cmd.iter().flatten());
    if command
        .clone()
        .next()
        .is_none_or(|program| program.is_empty())
    {
        return invalid("no command specified".into());
    }
    if config
        .working_dir
        .as_deref()
        .is_some_and(|dir| !dir.is_empty() && !dir.starts_with('/'))
    {
        let dir = config.working_dir.as_deref().unwrap_or_default();
        return invalid(format!(
            "the working directory '{dir}' is invalid, it needs to be an absolute path"
        ));
    }
    for entry in config.env.iter().flatten() {
        if entry.is_empty() || entry.starts_with('=') {
            return invalid(format!("invalid environment variable: {entry}"));
        }
    }
    if let Some(signal) = config
        .stop_signal
        .as_deref()
        .filter(|signal| !signal.is_empty())
    {
        signals::parse(signal)?;
    }
    resources::validate(host)?;
    let policy = Policy::parse(host.restart_policy.as_ref())?;
    if host.auto_remove.unwrap_or(false) && policy != Policy::No {
        return invalid("can't create 'AutoRemove' container with restart policy".into());
    }
    let modes = Modes::parse(host)?;
    if modes.uts == Mode::Host
        && config
            .hostname
            .as_deref()
            .is_some_and(|name| !name.is_empty())
    {
        return invalid("conflicting options: hostname and the UTS mode".into());
    }
    if matches!(modes.net, Mode::Container(_))
        && config
            .hostname
            .as_deref()
            .is_some_and(|name| !name.is_empty())
    {
        return invalid("conflicting options: hostname and the network mode".into());
    }
    security::parse(&host.security_opt.clone().unwrap_or_default())?;
    log_options::parse(
        host.log_config.as_ref(),
        Rotation {
            max_size: None,
            max_files: 1,
        },
    )?;
    for ulimit in host.ulimits.iter().flatten() {
        if spec::rlimit(ulimit).is_none() {
            return invalid(format!(
                "invalid ulimit type: {}",
                ulimit.name.clone().unwrap_or_default()
            ));
        }
    }
    if let Some(score) = host
        .oom_score_adj
        .filter(|score| !(-1000..=1000).contains(score))
    {
        return invalid(format!(
            "Invalid value {score}, range for oom score adj is [-1000, 1000]"
        ));
    }
    for entry in host.extra_hosts.iter().flatten() {
        if !entry
            .split_once([':', '='])
            .is_some_and(|(name, address)| !name.is_empty() && !address.is_empty())
        {
            return invalid(format!("bad format for add-host: \"{entry}\""));
        }
    }
    let userns = host.userns_mode.as_deref().unwrap_or_default();
    if !matches!(userns, "" | "host") {
        return invalid("invalid USER mode: this engine does not remap users".into());
    }
    if let Some(runtime) = host
        .runtime
        .as_deref()
        .filter(|name| !matches!(*name, "" | "coracle" | "runc"))
    {
        return invalid(format!("unknown or invalid runtime name: {runtime}"));
    }
    for (present, field) in [
        (
            host.device_requests
                .as_ref()
                .is_some_and(|list| !list.is_empty()),
            "DeviceRequests",
        ),
        (host.init.unwrap_or(false), "Init"),
        (
            host.links.as_ref().is_some_and(|list| !list.is_empty()),
            "Links",
        ),
        (
            host.storage_opt.as_ref().is_some_and(|map| !map.is_empty()),
            "StorageOpt",
        ),
    ] {
        if present {
            return invalid(format!("{field} is not supported by this engine"));
        }
    }
    Ok(())
}

/// Docker: the beginning of the id, or the host's name in the host's network or UTS namespace.
fn set_hostname(config: &mut ContainerConfig, host: &HostConfig, id: &str) {
    if config
        .hostname
        .as_deref()
        .is_some_and(|name| !name.is_empty())
    {
        return;
    }
    let shared =
        host.network_mode.as_deref() == Some("host") || host.uts_mode.as_deref() == Some("host");
    config.hostname = Some(if shared {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    } else {
        id::short(id).to_owned()
    });
}
