//! The engine: everything that System Docker knows, in one place.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use coracle_distribution::Settings;
use coracle_image::Store;
use coracle_runtime::Runtime;
use jiff::Timestamp;
use oci_spec::runtime::Capabilities;
use tokio::sync::watch;

use crate::cgroup::Cgroups;
use crate::container::Container;
use crate::error::{Doing, Error, Result};
use crate::events::{Events, Kind};
use crate::exec::Exec;
use crate::handover::{Arrival, Former};
use crate::listen::Listeners;
use crate::lock::RootLock;
use crate::logs::Rotation;
use crate::networks::{DefaultBridge, Networks};
use crate::oom::OomWatch;
use crate::reaper::Reaper;
use crate::rootfs::Roots;
use crate::table::Table;
use crate::volumes::Volumes;
use crate::work::Work;
use crate::{disk, id, time};

/// Where the engine works and what it gives by default.
#[derive(Clone, Debug)]
pub struct Options {
    /// Data that is kept: `/var/lib/system-docker`.
    pub root: PathBuf,
    /// Run-time state, on a tmpfs: `/run/system-docker`.
    pub exec_root: PathBuf,
    /// Bundled images: `/usr/lib/coracle`, with `images/` and `layers/`.
    pub bundled: Option<PathBuf>,
    /// Control group under which every container gets its own.
    pub cgroup_parent: String,
    /// Rotation of logs whose container asks for none.
    pub log_rotation: Rotation,
    /// How registries are reached, to begin with: see [`Engine::set_registries`].
    pub registries: Settings,
    /// What containers get by default.
    pub settings: crate::settings::Settings,
    /// The bridge of containers that name no network; without one they have none.
    pub bridge: Option<DefaultBridge>,
}

impl Options {
    /// The options of System Docker, with other directories (inventory B6-007, B6-009).
    pub fn new(root: impl Into<PathBuf>, exec_root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            exec_root: exec_root.into(),
            bundled: None,
            cgroup_parent: "/system-docker".to_owned(),
            log_rotation: Rotation {
                max_size: Some(25 << 20),
                max_files: 2,
            },
            registries: Settings::default(),
            settings: crate::settings::Settings::default(),
            bridge: Some(DefaultBridge::default()),
        }
    }
}

/// System Docker.
#[derive(Debug)]
pub struct Engine {
    pub(crate) options: Options,
    id: String,
    started: Timestamp,
    pub(crate) reaper: Arc<Reaper>,
    pub(crate) events: Events,
    pub(crate) images: Arc<Store>,
    pub(crate) registries: RwLock<Arc<Settings>>,
    pub(crate) runtime: Runtime,
    pub(crate) cgroups: Cgroups,
    pub(crate) roots: Roots,
    pub(crate) volumes: Volumes,
    pub(crate) networks: Arc<Networks>,
    pub(crate) listeners: Listeners,
    pub(crate) oom_watch: OomWatch,
    pub(crate) capabilities: Capabilities,
    pub(crate) containers: RwLock<Table>,
    pub(crate) execs: Mutex<HashMap<String, Arc<Exec>>>,
    starts: AtomicU64,
    pub(crate) shutting_down: AtomicBool,
    /// How many times this process has handed over.
    pub(crate) generation: u64,
    /// Held while a hand-over is prepared.
    pub(crate) reloading: tokio::sync::Mutex<()>,
    /// What is to be executed, once a hand-over is ready.
    pub(crate) wanted: watch::Sender<Option<PathBuf>>,
    _lock: RootLock,
}

impl Engine {
    /// Opens the engine's state; afterwards every container of a former engine is in an honest state, none running.
    /// Call it inside a tokio runtime. There can be one engine in a process.
    ///
    /// # Errors
    /// When a directory, the image store or the control group hierarchy cannot be used, or another engine works on the root.
    pub fn new(options: Options, reaper: Arc<Reaper>) -> Result<Arc<Self>> {
        Self::open(options, reaper, &mut Former::default())
    }

    /// As [`Engine::new`], but every container of the engine that this process was before goes on.
    ///
    /// # Errors
    /// Those of [`Engine::new`].
    pub fn resume(options: Options, arrival: Arrival) -> Result<Arc<Self>> {
        let (reaper, wait) = Reaper::start_later().doing(|| "become the reaper of children")?;
        let expecting = reaper.expect();
        let mut former = arrival.into_former(&options);
        let engine = Self::open(options, reaper, &mut former)?;
        engine.take_over(former, &expecting);
        drop(wait);
        Ok(engine)
    }

    fn open(options: Options, reaper: Arc<Reaper>, former: &mut Former) -> Result<Arc<Self>> {
        let containers = options.root.join("containers");
        for dir in [
            &containers,
            &options.exec_root.join("bundles"),
            &options.exec_root.join("tty"),
        ] {
            fs::create_dir_all(dir).doing(|| format!("make {}", dir.display()))?;
        }
        let lock = RootLock::take(&options.root)?;
        let before = &former.handover;
        let started = time::parse(&before.started).unwrap_or_else(Timestamp::now);
        let images = Store::open(options.bundled.clone(), options.root.clone())?;
        let runtime = Runtime::new(options.exec_root.join("runtime"));
        runtime.forget_filters()?;
        let engine = Arc::new(Self {
            id: engine_id(&options)?,
            started,
            reaper,
            events: Events::default(),
            images: Arc::new(images),
            registries: RwLock::new(Arc::new(options.registries.clone())),
            runtime,
            cgroups: Cgroups::new(&options.cgroup_parent)?,
            roots: Roots::new(options.exec_root.join("rootfs"), &before.roots)?,
            volumes: Volumes::open(options.root.join("volumes"), before.volumes.clone())?,
            networks: Arc::new(Networks::open(
                options.root.join("networks"),
                options.exec_root.join("networks"),
                &time::format(started),
                options.bridge.as_ref(),
                former.is_whole,
            )?),
            listeners: Listeners::new(std::mem::take(&mut former.listeners)),
            oom_watch: OomWatch::new().doing(|| "watch for memory events")?,
            capabilities: coracle_runtime::capabilities::own_bounding_set()?,
            containers: RwLock::default(),
            execs: Mutex::default(),
            starts: AtomicU64::new(before.starts),
            shutting_down: AtomicBool::new(false),
            generation: before.generation,
            reloading: tokio::sync::Mutex::default(),
            wanted: watch::channel(None).0,
            _lock: lock,
            options,
        });
        engine.load_containers(&containers, former)?;
        engine.clear_layers();
        engine.serve_oom_watch();
        Ok(engine)
    }

    /// Identifies the engine; kept over restarts.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When the engine started.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// Its options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The events.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// What is being done, for those who must not be interrupted in it.
    pub fn work(&self) -> &Work {
        self.reaper.work()
    }

    /// The owner of all children, for helpers of others in this process.
    pub fn reaper(&self) -> &Arc<Reaper> {
        &self.reaper
    }

    /// The container with this id, name (with or without slash) or unambiguous beginning of an id.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`], [`Error::AmbiguousContainer`].
    pub fn find(&self, reference: &str) -> Result<Arc<Container>> {
        self.containers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .find(reference)
    }

    /// Every container, in no particular order.
    pub fn all(&self) -> Vec<Arc<Container>> {
        self.containers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .all()
    }

    /// How many times this process has handed over to a new version of itself.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn starts_so_far(&self) -> u64 {
        self.starts.load(Ordering::Relaxed)
    }

    pub(crate) fn next_start(&self) -> u64 {
        self.starts.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Publishes an event about a container, with the attributes that Docker gives.
    pub(crate) fn container_event(
        &self,
        container: &Container,
        action: &str,
        more: &[(&str, String)],
    ) {
        let mut attributes: BTreeMap<String, String> = BTreeMap::new();
        {
            let data = container.data();
            attributes.extend(
                data.record
                    .config
                    .labels
                    .iter()
                    .flatten()
                    .map(|(k, v)| (k.clone(), v.clone())),
            );
            attributes.insert(
                "image".into(),
                data.record.config.image.clone().unwrap_or_default(),
            );
            attributes.insert("name".into(), data.record.name.clone());
        }
        attributes.extend(
            more.iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone())),
        );
        self.events
            .publish(Kind::Container, action, container.id(), attributes);
    }
}

/// Runs something that may wait for the disk outside the runtime's workers.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(format!("a worker failed: {error}")))
}

fn engine_id(options: &Options) -> Result<String> {
    let file = options.root.join("engine-id");
    match fs::read_to_string(&file) {
        Ok(text) if text.trim().len() == 36 => Ok(text.trim().to_owned()),
        _ => {
            let hex = id::hex(&id::random::<16>());
            let uuid = [
                &hex[..8],
                &hex[8..12],
                &hex[12..16],
                &hex[16..20],
                &hex[20..],
            ]
            .join("-");
            disk::replace(&file, uuid.as_bytes(), disk::Durability::Ordered)?;
            Ok(uuid)
        }
    }
}
