//! What clients may ask of an endpoint, and what follows from it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bollard_stubs::models::{EndpointSettings, HostConfig, NetworkingConfig};
use coracle_container_network::{Mac, Network, is_predefined};

use super::options::link;
use crate::error::{Error, Result};
use crate::id;
use crate::record::Record;

/// Which networks a new container is in: those that the client names, and at least that of its mode.
///
/// # Errors
/// Docker's texts for settings that make no sense.
pub fn normalize(networking: &mut NetworkingConfig, host: &HostConfig) -> Result<()> {
    let mode = host.network_mode.clone().unwrap_or_default();
    let endpoints = networking.endpoints_config.get_or_insert_default();
    if mode.starts_with("container:") {
        endpoints.clear();
        return Ok(());
    }
    if let Some(settings) = endpoints.remove("default") {
        endpoints.entry(mode.clone()).or_insert(settings);
    }
    endpoints.entry(mode).or_default();
    for (name, settings) in endpoints {
        check(None, name, settings)?;
    }
    Ok(())
}

/// Checks what is asked of an endpoint; with the network also whether it has such addresses.
///
/// # Errors
/// Docker's texts, all of them together.
pub fn check(network: Option<&Network>, name: &str, settings: &EndpointSettings) -> Result<()> {
    let mut errors = Vec::new();
    let name = network.map_or(name, |network| &network.name);
    let asked = asked_addresses(settings);
    if is_predefined(name) {
        if !asked.is_empty() {
            errors.push(
                "user-specified IP address is supported on user-defined networks only".to_owned(),
            );
        }
        if settings
            .aliases
            .as_ref()
            .is_some_and(|aliases| !aliases.is_empty())
        {
            errors.push(
                "network-scoped aliases are only supported for user-defined networks".to_owned(),
            );
        }
    }
    for (is_ipv6, text) in &asked {
        let family = if *is_ipv6 { 6 } else { 4 };
        match text.parse::<IpAddr>() {
            Ok(address) if address.is_ipv6() == *is_ipv6 && !address.is_unspecified() => {
                let pools = network.map(|network| &network.pools);
                if pools
                    .is_some_and(|pools| !pools.iter().any(|pool| pool.subnet.contains(address)))
                {
                    errors.push(format!(
                        "no configured subnet contains IP address {address}"
                    ));
                }
            }
            _ => errors.push(format!("invalid IPv{family} address: {text}")),
        }
    }
    if let Some(mac) = settings
        .mac_address
        .as_deref()
        .filter(|mac| !mac.is_empty())
        && let Err(error) = mac.parse::<Mac>()
    {
        errors.push(error.to_string());
    }
    for text in settings
        .ipam_config
        .iter()
        .flat_map(|config| config.link_local_ips.iter().flatten())
    {
        if !text
            .parse()
            .is_ok_and(|address: IpAddr| !address.is_unspecified())
        {
            errors.push(format!("invalid link-local IP address: {text}"));
        }
    }
    if let Err(text) = sysctls(settings, "") {
        errors.push(format!(
            "unrecognised network interface sysctl '{text}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', \
             'ipv6' or 'mpls'"
        ));
    }
    match errors.as_slice() {
        [] => Ok(()),
        [one] => Err(Error::Invalid(format!("invalid endpoint settings:\n{one}"))),
        many => Err(Error::Invalid(format!(
            "invalid endpoint settings:\n* {}",
            many.join("\n* ")
        ))),
    }
}

/// An option of the driver for one endpoint.
pub(super) fn option<'a>(settings: &'a EndpointSettings, name: &str) -> Option<&'a str> {
    let value = settings
        .driver_opts
        .as_ref()?
        .get(&format!("com.docker.network.endpoint.{name}"))?;
    Some(value.as_str()).filter(|value| !value.is_empty())
}

/// Kernel parameters of the interface; the error is the one that is none.
pub(super) fn sysctls(
    settings: &EndpointSettings,
    interface: &str,
) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    for text in option(settings, "sysctls")
        .into_iter()
        .flat_map(|list| list.split(','))
    {
        let parse = || {
            let (name, value) = text.split_once('=')?;
            match name.split('.').collect::<Vec<_>>().as_slice() {
                [
                    "net",
                    family @ ("ipv4" | "ipv6" | "mpls"),
                    group,
                    "IFNAME" | "ifname",
                    key,
                ] => {
                    let is_plain = |word: &str| !word.is_empty() && !word.contains('/');
                    (is_plain(group) && is_plain(key)).then(|| {
                        (
                            format!("net/{family}/{group}/{interface}/{key}"),
                            value.to_owned(),
                        )
                    })
                }
                _ => None,
            }
        };
        found.push(parse().ok_or_else(|| text.to_owned())?);
    }
    Ok(found)
}

/// The addresses that a client chose, with the family that they should have.
pub(super) fn asked_addresses(settings: &EndpointSettings) -> Vec<(bool, String)> {
    let config = settings.ipam_config.clone().unwrap_or_default();
    [(false, config.ipv4_address), (true, config.ipv6_address)]
        .into_iter()
        .filter_map(|(is_ipv6, text)| Some((is_ipv6, text.filter(|text| !text.is_empty())?)))
        .collect()
}

/// Names by which the container is found in a user-defined network; the first one is the answer to reverse look-ups.
pub(super) fn names(record: &Record, settings: &EndpointSettings) -> Vec<String> {
    let mut names = vec![record.name.clone()];
    names.extend(settings.aliases.clone().unwrap_or_default());
    names.push(id::short(&record.id).to_owned());
    names.extend(
        record
            .config
            .hostname
            .clone()
            .filter(|name| !name.is_empty()),
    );
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.to_lowercase()));
    names
}

/// A container's own names for neighbours.
pub(super) fn links(settings: &EndpointSettings) -> Vec<(String, String)> {
    let links = settings.links.iter().flatten().map(|text| link(text));
    links
        .map(|(name, alias)| (alias.to_owned(), name.to_owned()))
        .collect()
}

/// The networks of a container: that of its mode first, the others by name.
pub fn ordered(record: &Record) -> Vec<(String, EndpointSettings)> {
    let mode = record.network_mode();
    let mut list: Vec<_> = record
        .networking
        .endpoints_config
        .clone()
        .unwrap_or_default()
        .into_iter()
        .collect();
    list.sort_by_key(|(name, _)| (name != mode, name.clone()));
    list
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::endpoints::tests::{settings, state};
    use super::*;

    #[test]
    fn settings_that_make_no_sense_get_dockers_texts() {
        let foo = state().find("foo").unwrap().clone();
        for (network, name, settings, expected) in [
            (None, "foo", settings("10.0.0.5", &["db"]), ""),
            (
                None,
                "bridge",
                settings("10.0.0.5", &["db"]),
                "* user-specified IP address is supported on user-defined networks only\n\
                 * network-scoped aliases are only supported for user-defined networks",
            ),
            (None, "foo", settings("x", &[]), "invalid IPv4 address: x"),
            (
                None,
                "foo",
                settings("::1", &[]),
                "invalid IPv4 address: ::1",
            ),
            (
                Some(&foo),
                "foo",
                settings("10.0.1.5", &[]),
                "no configured subnet contains IP address 10.0.1.5",
            ),
            (
                None,
                "foo",
                EndpointSettings {
                    mac_address: Some("x".into()),
                    ..EndpointSettings::default()
                },
                "x is not a valid mac address",
            ),
            (
                None,
                "foo",
                EndpointSettings {
                    driver_opts: Some(HashMap::from([(
                        "com.docker.network.endpoint.sysctls".into(),
                        "net.ipv4.conf.IFNAME.forwarding=1,net.ipv4.ip_forward=1".into(),
                    )])),
                    ..EndpointSettings::default()
                },
                "unrecognised network interface sysctl 'net.ipv4.ip_forward=1'; represent 'net.X.Y.ethN.Z=V' as \
                 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'",
            ),
        ] {
            let result = check(network, name, &settings).map_err(|error| error.to_string());
            let expected = match expected {
                "" => Ok(()),
                text => Err(format!("invalid endpoint settings:\n{text}")),
            };
            assert_eq!(result, expected);
        }
    }

    #[test]
    fn a_container_is_at_least_in_the_network_of_its_mode() {
        for (mode, given, expected) in [
            ("bridge", &[][..], &["bridge"][..]),
            ("bridge", &["default"], &["bridge"]),
            ("foo", &["bar"], &["bar", "foo"]),
            ("container:x", &["foo"], &[]),
        ] {
            let mut networking = NetworkingConfig {
                endpoints_config: Some(
                    given
                        .iter()
                        .map(|name| (name.to_string(), EndpointSettings::default()))
                        .collect(),
                ),
            };
            let host = HostConfig {
                network_mode: Some(mode.into()),
                ..HostConfig::default()
            };
            normalize(&mut networking, &host).unwrap();
            let mut names: Vec<_> = networking.endpoints_config.unwrap().into_keys().collect();
            names.sort();
            assert_eq!(names, expected);
        }
    }
}
