//! What `fuzz/` calls and nobody else may: what is parsed of requests and of the engine's own files. Only with
//! `--cfg fuzzing`.

use bollard_stubs::models::HostConfig;
use coracle_container_network::Network;
use coracle_image::ImageConfig;

use crate::create::{CreateRequest, check, fill_defaults};
use crate::error::{Error, Result};
use crate::mounts::{self, Sources};
use crate::record::{MountPoint, Record, State};
use crate::resources::{self, Support};
use crate::volumes::Volume;
use crate::{image_defaults, listen, logs, names, networks, settings};

struct Nobody;

impl Sources for Nobody {
    fn mounts_of(&self, container: &str) -> Result<Vec<MountPoint>> {
        Err(Error::NoSuchContainer(container.to_owned()))
    }
}

/// Everything that creating a container looks at before it makes anything.
///
/// # Errors
/// As [`crate::Engine::create`].
pub fn check_create(request: CreateRequest, image: &ImageConfig) -> Result<()> {
    let CreateRequest {
        name,
        mut config,
        mut host_config,
        mut networking,
    } = request;
    names::valid(&name.unwrap_or_default());
    image_defaults::merge(&mut config, image);
    settings::Settings::default().fill(&mut host_config);
    fill_defaults(&mut host_config, true);
    networks::normalize(&mut networking, &host_config)?;
    let support = Support {
        memory: true,
        cpu: true,
        cpuset: true,
        io: true,
        pids: true,
        cpus: "0-3".into(),
        nodes: "0".into(),
    };
    resources::adjust(&mut host_config, &support)?;
    check::discard(&mut host_config);
    check::check(&config, &host_config)?;
    let label = config
        .labels
        .as_ref()
        .and_then(|labels| labels.get(listen::LABEL));
    listen::parse(label.map_or("", String::as_str))?;
    networks::check_ports(&config, &host_config)?;
    mounts::plan(&config, &host_config, &Nobody)?;
    Ok(())
}

/// Changes of a container's limits.
///
/// # Errors
/// The first limit that makes no sense.
pub fn check_limits(mut host_config: HostConfig) -> Result<()> {
    fill_defaults(&mut host_config, false);
    resources::adjust(&mut host_config, &Support::default()).map(drop)
}

/// The engine's own files, which a disk may damage.
pub fn parse_files(bytes: &[u8]) {
    let _ = serde_json::from_slice::<Record>(bytes);
    let _ = serde_json::from_slice::<State>(bytes);
    let _ = serde_json::from_slice::<Volume>(bytes);
    if let Ok(network) = serde_json::from_slice::<Network>(bytes) {
        let _ = network.bridge();
    }
    let _ = logs::LogLine::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = settings::Settings::parse(text);
    }
}
