//! Volumes and networks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use coracle_container_network::Network;

use super::{Finding, START, UNFINISHED, add, has_extension, left_over, names, paths};
use crate::disk;
use crate::volumes::{Volume, check_name};

/// The volumes under `dir`.
pub fn volumes(dir: &Path, running: bool, findings: &mut BTreeSet<Finding>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in paths(dir) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with('.') {
            if !running {
                left_over(findings, &path);
            }
            continue;
        }
        let subject = format!("volume {name}");
        if check_name(&name).is_err() {
            add(
                findings,
                &subject,
                "its name is not allowed",
                "rename its directory",
            );
        }
        if !path.join("_data").is_dir() {
            add(findings, subject, "has no directory _data", START);
            continue;
        }
        let file = path.join("volume.json");
        match disk::read_json::<Volume>(&file) {
            Ok(volume) if volume.name != name => add(
                findings,
                &subject,
                format!("{} is that of volume {}", file.display(), volume.name),
                "rename its directory",
            ),
            Ok(_) => {}
            Err(error) => add(
                findings,
                &subject,
                format!("its labels and options are lost: {error}"),
                "create it again and copy its files",
            ),
        }
        for name in names(&path) {
            if !running && has_extension(name.as_ref(), UNFINISHED) {
                left_over(findings, &path.join(name));
            }
        }
        found.insert(name);
    }
    found
}

/// The networks under `dir`.
pub fn networks(dir: &Path, running: bool, findings: &mut BTreeSet<Finding>) {
    let mut found: Vec<Network> = Vec::new();
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for path in paths(dir) {
        if has_extension(&path, UNFINISHED) {
            if !running {
                left_over(findings, &path);
            }
            continue;
        }
        let id = path.file_stem().unwrap_or_default().to_string_lossy();
        let subject = format!("network {id}");
        let network = match disk::read_json::<Network>(&path) {
            Ok(network) => network,
            Err(error) => {
                let problem = format!("its record is damaged: {error}");
                add(
                    findings,
                    subject,
                    problem,
                    "delete the file and create the network again",
                );
                continue;
            }
        };
        let subject = format!("{subject} ({})", network.name);
        if network.id != id {
            let problem = format!("its record is that of {}", network.id);
            add(findings, &subject, problem, "delete the file");
        }
        if let Some(other) = owners.insert(network.name.clone(), network.id.clone()) {
            let problem = format!("network {other} has the same name");
            add(findings, &subject, problem, "docker network rm one of them");
        }
        for other in &found {
            let overlap = network
                .pools
                .iter()
                .flat_map(|pool| other.pools.iter().map(move |second| (pool, second)))
                .find(|(pool, second)| pool.subnet.overlaps(second.subnet));
            if let Some((pool, second)) = overlap {
                let problem = format!(
                    "its subnet {} overlaps {} of network {}",
                    pool.subnet, second.subnet, other.name
                );
                add(findings, &subject, problem, "docker network rm one of them");
            }
            let device = |network: &Network| network.bridge().map(|bridge| bridge.device);
            if device(&network).is_some() && device(&network) == device(other) {
                let problem = format!("network {} has the same bridge", other.name);
                add(findings, &subject, problem, "docker network rm one of them");
            }
        }
        found.push(network);
    }
}
