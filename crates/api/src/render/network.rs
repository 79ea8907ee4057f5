//! Networks, and the containers in them.

use std::net::IpAddr;

use coracle_engine::networks::Connection;
use coracle_engine::networks::model::{Endpoint, Network, Pool};
use serde_json::{Map, Value, json};

use super::{complete, defaults, sorted};

/// One network, as lists have it.
pub fn network(network: &Network) -> Value {
    let config: Vec<Value> = network.pools.iter().map(pool).collect();
    json!({
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": "local",
        "Driver": network.driver.name(),
        "EnableIPv4": network.enable_ipv4,
        "EnableIPv6": network.enable_ipv6,
        "IPAM": {"Driver": "default", "Options": ipam_options(network), "Config": config},
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": false,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": false,
        "Options": sorted(&network.options),
        "Labels": sorted(&network.labels),
    })
}

/// One network in full: with the containers in it, each with its name.
pub fn inspect(network: &Network, members: &[(String, Endpoint)]) -> Value {
    let mut out = self::network(network);
    let containers: Map<String, Value> = members
        .iter()
        .map(|(name, endpoint)| (endpoint.container.clone(), member(name, endpoint)))
        .collect();
    out["Containers"] = containers.into();
    out
}

fn ipam_options(network: &Network) -> Value {
    match &network.ipam_options {
        Some(options) => sorted(options),
        None => Value::Null,
    }
}

fn pool(pool: &Pool) -> Value {
    let mut out = json!({"Subnet": pool.subnet.to_string()});
    if let Some(range) = pool.range {
        out["IPRange"] = range.to_string().into();
    }
    out["Gateway"] = pool.gateway.to_string().into();
    if !pool.auxiliary.is_empty() {
        let addresses = pool
            .auxiliary
            .iter()
            .map(|(name, address)| (name.clone(), address.to_string().into()));
        out["AuxiliaryAddresses"] = Value::Object(addresses.collect());
    }
    out
}

fn member(name: &str, endpoint: &Endpoint) -> Value {
    let address = |is_ipv6| {
        endpoint
            .address(is_ipv6)
            .map(|cidr| cidr.to_string())
            .unwrap_or_default()
    };
    json!({
        "Name": name,
        "EndpointID": endpoint.id,
        // A container in the network `host` or `none` has no interface of its own.
        "MacAddress": if endpoint.id.is_empty() { String::new() } else { endpoint.mac.to_string() },
        "IPv4Address": address(false),
        "IPv6Address": address(true),
    })
}

/// The networks that a container is in, by name.
pub fn of_container(connections: &[Connection]) -> Value {
    let all = connections
        .iter()
        .map(|connection| (connection.network.clone(), endpoint(connection)));
    Value::Object(all.collect())
}

fn endpoint(connection: &Connection) -> Value {
    let mut out = complete(defaults::endpoint(), &connection.settings);
    out["NetworkID"] = connection.id.as_str().into();
    if let Some(endpoint) = &connection.endpoint {
        out["EndpointID"] = endpoint.id.as_str().into();
        addresses(&mut out, endpoint);
        if connection.has_names {
            out["DNSNames"] = json!(endpoint.names);
        }
    }
    out
}

/// The fields about addresses, which `NetworkSettings` has as well.
fn addresses(out: &mut Value, endpoint: &Endpoint) {
    let text = |address: Option<IpAddr>| {
        address
            .map(|address| address.to_string())
            .unwrap_or_default()
    };
    for (is_ipv6, gateway, address, prefix) in [
        (false, "Gateway", "IPAddress", "IPPrefixLen"),
        (
            true,
            "IPv6Gateway",
            "GlobalIPv6Address",
            "GlobalIPv6PrefixLen",
        ),
    ] {
        let cidr = endpoint.address(is_ipv6);
        out[gateway] = text(
            endpoint
                .gateway(is_ipv6)
                .filter(|gateway| !gateway.is_unspecified()),
        )
        .into();
        out[address] = text(cidr.map(|cidr| cidr.address)).into();
        out[prefix] = cidr.map_or(0, |cidr| cidr.prefix).into();
    }
    out["MacAddress"] = endpoint.mac.to_string().into();
}

/// `NetworkSettings` of a container; `exposed` are its ports that need not be published, `pid` its process when it runs.
pub fn settings(
    container: &str,
    pid: i32,
    exposed: &[String],
    connections: &[Connection],
) -> Value {
    let mut out = defaults::network_settings();
    if pid != 0 {
        out["SandboxID"] = container.into();
        out["SandboxKey"] = format!("/proc/{pid}/ns/net").into();
        out["Ports"] = port_map(exposed, connections);
    }
    // Clients older than API 1.52 look here for the default network.
    if let Some(endpoint) = connections
        .iter()
        .find(|connection| connection.network == "bridge")
        .and_then(|connection| connection.endpoint.as_ref())
    {
        out["EndpointID"] = endpoint.id.as_str().into();
        addresses(&mut out, endpoint);
    }
    out["Networks"] = of_container(connections);
    out
}

/// `Ports` of `NetworkSettings`: ports that are not published have null.
fn port_map(exposed: &[String], connections: &[Connection]) -> Value {
    let mut ports: Map<String, Value> = exposed
        .iter()
        .map(|port| (port.clone(), Value::Null))
        .collect();
    for published in published(connections) {
        let list = ports
            .entry(published.container.to_string())
            .or_insert(Value::Null);
        if list.is_null() {
            *list = json!([]);
        }
        if let Some(list) = list.as_array_mut() {
            list.push(json!({
                "HostIp": published.host_ip.to_string(),
                "HostPort": published.host_port.to_string(),
            }));
        }
    }
    ports.sort_keys();
    ports.into()
}

fn published(
    connections: &[Connection],
) -> impl Iterator<Item = &coracle_engine::networks::model::Published> {
    connections
        .iter()
        .filter_map(|connection| connection.endpoint.as_ref())
        .flat_map(|endpoint| &endpoint.ports)
}

/// `Ports` of an entry in the list of containers.
pub fn port_list(is_running: bool, exposed: &[String], connections: &[Connection]) -> Value {
    if !is_running
        || connections
            .iter()
            .all(|connection| connection.endpoint.is_none())
    {
        return json!([]);
    }
    let mut list = Vec::new();
    for port in published(connections) {
        list.push(json!({
            "IP": port.host_ip.to_string(),
            "PrivatePort": port.container.port,
            "PublicPort": port.host_port,
            "Type": port.container.protocol.to_string(),
        }));
    }
    for port in exposed {
        let is_published =
            published(connections).any(|published| published.container.to_string() == *port);
        if let (false, Some((number, protocol))) = (is_published, port.split_once('/')) {
            list.push(json!({"PrivatePort": number.parse::<u16>().unwrap_or(0), "Type": protocol}));
        }
    }
    list.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bollard_stubs::models::{
        EndpointIpamConfig, EndpointSettings, NetworkInspect, NetworkSettings,
    };
    use coracle_engine::networks::model::{Driver, Mac, Published};

    use super::*;

    fn foo() -> Network {
        Network {
            pools: vec![Pool {
                subnet: "10.0.0.0/24".parse().unwrap(),
                range: Some("10.0.0.128/25".parse().unwrap()),
                gateway: "10.0.0.1".parse().unwrap(),
                auxiliary: BTreeMap::from([("dns".into(), "10.0.0.9".parse().unwrap())]),
                configured: true,
            }],
            labels: BTreeMap::from([("a".into(), "b".into())]),
            ..Network::new(
                "abc".into(),
                "foo".into(),
                "2023-11-14T22:13:20Z".into(),
                Driver::Bridge,
            )
        }
    }

    fn web() -> Connection {
        let published = |ip: &str, port| Published {
            container: "80/tcp".parse().unwrap(),
            host_ip: ip.parse().unwrap(),
            host_port: port,
        };
        Connection {
            network: "foo".into(),
            id: "abc".into(),
            settings: EndpointSettings {
                ipam_config: Some(EndpointIpamConfig {
                    ipv4_address: Some("10.0.0.5".into()),
                    ..EndpointIpamConfig::default()
                }),
                aliases: Some(vec!["www".into()]),
                ..EndpointSettings::default()
            },
            endpoint: Some(Endpoint {
                id: "e1".into(),
                network: "abc".into(),
                container: "c1".into(),
                interface: "eth0".into(),
                mac: Mac([2, 0x42, 10, 0, 0, 5]),
                addresses: vec!["10.0.0.5/24".parse().unwrap()],
                gateways: vec!["10.0.0.1".parse().unwrap()],
                gateway_priority: 0,
                names: vec!["web".into(), "www".into()],
                sysctls: Vec::new(),
                links: Vec::new(),
                ports: vec![published("0.0.0.0", 8080), published("127.0.0.1", 81)],
            }),
            has_names: true,
        }
    }

    #[test]
    fn a_network_is_whole_and_fits_the_model() {
        let value = inspect(&foo(), &[("web".into(), web().endpoint.unwrap())]);
        serde_json::from_value::<NetworkInspect>(value.clone()).unwrap();
        assert_eq!(
            value,
            json!({
                "Name": "foo", "Id": "abc", "Created": "2023-11-14T22:13:20Z", "Scope": "local", "Driver": "bridge",
                "EnableIPv4": true, "EnableIPv6": false,
                "IPAM": {
                    "Driver": "default", "Options": null,
                    "Config": [{
                        "Subnet": "10.0.0.0/24", "IPRange": "10.0.0.128/25", "Gateway": "10.0.0.1",
                        "AuxiliaryAddresses": {"dns": "10.0.0.9"}
                    }]
                },
                "Internal": false, "Attachable": false, "Ingress": false, "ConfigFrom": {"Network": ""}, "ConfigOnly": false,
                "Options": {}, "Labels": {"a": "b"},
                "Containers": {
                    "c1": {
                        "Name": "web", "EndpointID": "e1", "MacAddress": "02:42:0a:00:00:05", "IPv4Address": "10.0.0.5/24",
                        "IPv6Address": ""
                    }
                }
            })
        );
    }

    #[test]
    fn a_running_container_shows_addresses_and_ports() {
        let exposed = ["443/tcp".to_owned(), "80/tcp".to_owned()];
        let value = settings("c1", 5, &exposed, &[web()]);
        serde_json::from_value::<NetworkSettings>(value.clone()).unwrap();
        assert_eq!(
            value["Ports"],
            json!({
                "443/tcp": null,
                "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "81"}]
            })
        );
        assert_eq!(
            value["Networks"]["foo"],
            json!({
                "IPAMConfig": {"IPv4Address": "10.0.0.5"}, "Links": null, "Aliases": ["www"],
                "MacAddress": "02:42:0a:00:00:05", "DriverOpts": null, "GwPriority": 0, "NetworkID": "abc", "EndpointID": "e1",
                "Gateway": "10.0.0.1", "IPAddress": "10.0.0.5", "IPPrefixLen": 24, "IPv6Gateway": "",
                "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": ["web", "www"]
            })
        );
        assert_eq!(value["SandboxKey"], "/proc/5/ns/net");
        assert_eq!(
            port_list(true, &exposed, &[web()]),
            json!([
                {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 81, "Type": "tcp"},
                {"PrivatePort": 443, "Type": "tcp"},
            ])
        );
    }

    #[test]
    fn a_stopped_container_shows_what_it_was_asked_for() {
        let stopped = Connection {
            endpoint: None,
            ..web()
        };
        let exposed = ["80/tcp".to_owned()];
        let value = settings("c1", 0, &exposed, std::slice::from_ref(&stopped));
        assert_eq!(value["Ports"], json!({}));
        assert_eq!(
            value["Networks"]["foo"]["IPAMConfig"],
            json!({"IPv4Address": "10.0.0.5"})
        );
        assert_eq!(value["Networks"]["foo"]["IPAddress"], "");
        assert_eq!(port_list(false, &exposed, &[stopped]), json!([]));
    }
}
