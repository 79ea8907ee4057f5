//! Creating containers: checking what the client asks for, filling in defaults, and writing it down.

pub(crate) mod check;

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use bollard_stubs::models::{
    ContainerConfig, HostConfig, HostConfigCgroupnsModeEnum, NetworkingConfig, RestartPolicy,
    RestartPolicyNameEnum,
};
use coracle_image::Image;

use crate::container::Container;
use crate::engine::{Engine, blocking};
use crate::error::{Doing, Error, Result};
use crate::events::Kind;
use crate::image_defaults;
use crate::mounts::{self, Sources};
use crate::record::{MountKind, MountPoint, MountedImage, Record, State};
use crate::resources::{self, Support};
use crate::volumes::{ANONYMOUS_LABEL, VolumeRequest};
use crate::{id, listen, names, networks, scoped, spec, time};

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
            mut networking,
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
        if config.network_disabled.unwrap_or(false) {
            host_config.network_mode = Some("none".to_owned());
        }
        self.options.settings.fill(&mut host_config);
        fill_defaults(&mut host_config, self.options.bridge.is_some());
        networks::normalize(&mut networking, &host_config)?;
        let support = Support::of(&self.cgroups);
        let mut warnings = resources::adjust(&mut host_config, &support)?;
        warnings.extend(check::discard(&mut host_config));
        let id = id::generate();
        check::check(&config, &host_config)?;
        self.check_links(&host_config)?;
        set_hostname(&mut config, &host_config, &id);
        let sockets = listen::parse(label(&config, listen::LABEL))?;
        let mut points = mounts::plan(&config, &host_config, self)?;
        self.resolve_images(&mut points)?;

        let name = self.reserve_name(given_name, &id)?;
        let dir = self.options.root.join("containers").join(&id);
        let made = self
            .make_volumes(&mut points, host_config.volume_driver.as_ref())
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

    /// Looks up the images that are mounted.
    fn resolve_images(&self, points: &mut [MountPoint]) -> Result<()> {
        for point in points {
            if point.kind == MountKind::Image && point.image.is_none() {
                // Not "not found": clients would go and pull the container's image.
                let image = self.images.get(&point.source).map_err(|error| {
                    Error::Invalid(format!("invalid mount config for type \"image\": {error}"))
                })?;
                point.image = Some(MountedImage {
                    id: image.id.to_string(),
                    layers: image.layers,
                });
            }
        }
        Ok(())
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
    fn make_volumes(
        &self,
        points: &mut [MountPoint],
        volume_driver: Option<&String>,
    ) -> Result<()> {
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
                driver: driver
                    .name
                    .or_else(|| volume_driver.cloned())
                    .unwrap_or_default(),
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
            // A volume with options is empty only as long as nothing is mounted.
            let name = point.name.as_deref().unwrap_or_default();
            self.volumes.acquire(name, container.id())?;
            let copied = mounts::copy_up(&source, point.source.as_ref()).doing(doing);
            self.volumes.release(name, container.id());
            copied
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
pub fn fill_defaults(host: &mut HostConfig, has_bridge: bool) {
    let privileged = host.privileged.unwrap_or(false);
    if matches!(host.network_mode.as_deref(), None | Some("" | "default")) {
        let default = if has_bridge { "bridge" } else { "none" };
        host.network_mode = Some(default.to_owned());
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
    // Docker: as much swap as memory, counted together.
    if host.memory.unwrap_or(0) > 0 && host.memory_swap.unwrap_or(0) == 0 {
        host.memory_swap = host.memory.map(|memory| memory.saturating_mul(2));
    }
    host.pids_limit = host.pids_limit.filter(|limit| *limit != 0);
    let policy = host
        .restart_policy
        .get_or_insert_with(RestartPolicy::default);
    if matches!(policy.name, None | Some(RestartPolicyNameEnum::EMPTY)) {
        policy.name = Some(RestartPolicyNameEnum::NO);
    }
    policy.maximum_retry_count.get_or_insert(0);
    host.console_size.get_or_insert_with(|| vec![0, 0]);
    // Any other but runc's is refused; that one is shown as it was asked for.
    if matches!(host.runtime.as_deref(), None | Some("")) {
        host.runtime = Some("coracle".to_owned());
    }
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
