//! What options of a container say about its networks.

use bollard_stubs::models::{ContainerConfig, HostConfig};

use coracle_container_network::is_predefined;

use super::request::{check_ports, exposed_ports};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::namespaces::Mode;

/// Checks the options that contradict the mode, and the ports.
///
/// # Errors
/// Docker's texts.
pub fn check(config: &ContainerConfig, host: &HostConfig, mode: &Mode<'_>) -> Result<()> {
    check_ports(config, host)?;
    exposed_ports(config)?;
    let is_given = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let has_links = is_given(&host.links);
    let conflicts: &[(bool, &str)] = match mode {
        Mode::Container(_) => &[
            (
                has_links,
                "container type network can't be used with links. This would result in undefined behavior",
            ),
            (is_given(&host.dns), "dns and the network mode"),
            (
                is_given(&host.extra_hosts),
                "custom host-to-IP mapping and the network mode",
            ),
            (
                host.port_bindings
                    .as_ref()
                    .is_some_and(|map| !map.is_empty())
                    || host.publish_all_ports.unwrap_or(false),
                "port publishing and the container type network mode",
            ),
            (
                is_given(&config.exposed_ports),
                "port exposing and the container type network mode",
            ),
        ],
        Mode::Host => &[(
            has_links,
            "host type networking can't be used with links. This would result in undefined behavior",
        )],
        Mode::Private | Mode::Network(_) => &[],
    };
    match conflicts.iter().find(|(present, _)| *present) {
        Some((_, what)) => Err(Error::Invalid(format!("conflicting options: {what}"))),
        None => Ok(()),
    }
}

/// Docker's warning about ports that cannot be published.
pub fn warning(host: &HostConfig) -> Option<String> {
    let has_ports = host
        .port_bindings
        .as_ref()
        .is_some_and(|map| !map.is_empty());
    (host.network_mode.as_deref() == Some("host") && has_ports)
        .then(|| "Published ports are discarded when using host network mode".to_owned())
}

/// The links of a container in the default network. In a user-defined network links are names for its name server, which are part
/// of the endpoint; clients then send them here as well.
pub fn legacy_links(host: &HostConfig) -> impl Iterator<Item = (&str, &str)> {
    let mode = host.network_mode.as_deref().unwrap_or_default();
    let links = host
        .links
        .iter()
        .flatten()
        .filter(move |_| is_predefined(mode));
    links.map(|text| link(text))
}

/// Name and alias of a link.
pub fn link(text: &str) -> (&str, &str) {
    let (name, alias) = text.split_once(':').unwrap_or((text, text));
    let name = name.trim_start_matches('/');
    // What inspecting shows has the linking container's name before the alias.
    (name, alias.rsplit('/').next().unwrap_or(alias))
}

impl Engine {
    /// Whether the containers that a new one is linked to exist.
    ///
    /// # Errors
    /// Docker's text.
    pub(crate) fn check_links(&self, host: &HostConfig) -> Result<()> {
        for (name, _) in legacy_links(host) {
            self.find(name).map_err(|error| {
                Error::Invalid(format!("could not get container for {name}: {error}"))
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn options_that_contradict_the_mode_are_refused() {
        let words = || Some(vec!["x".to_owned()]);
        let bindings = || Some(HashMap::from([("80/tcp".to_owned(), None)]));
        let container = Mode::Container("other");
        for (host, mode, expected) in [
            (HostConfig::default(), &container, None),
            (
                HostConfig {
                    links: words(),
                    ..HostConfig::default()
                },
                &Mode::Host,
                Some(
                    "host type networking can't be used with links. This would result in undefined behavior",
                ),
            ),
            (
                HostConfig {
                    dns: words(),
                    ..HostConfig::default()
                },
                &container,
                Some("dns and the network mode"),
            ),
            (
                HostConfig {
                    port_bindings: bindings(),
                    ..HostConfig::default()
                },
                &container,
                Some("port publishing and the container type network mode"),
            ),
            (
                HostConfig {
                    port_bindings: bindings(),
                    dns: words(),
                    ..HostConfig::default()
                },
                &Mode::Network("foo"),
                None,
            ),
        ] {
            let result =
                check(&ContainerConfig::default(), &host, mode).map_err(|error| error.to_string());
            assert_eq!(
                result.err(),
                expected.map(|what| format!("conflicting options: {what}"))
            );
        }
    }

    #[test]
    fn links_are_names_with_aliases() {
        for (text, expected) in [
            ("db", ("db", "db")),
            ("db:database", ("db", "database")),
            ("/db:/web/database", ("db", "database")),
        ] {
            assert_eq!(link(text), expected);
        }
    }
}
