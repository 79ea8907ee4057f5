//! Networks: System Docker has the two that need no bridge, `host` and `none`.

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// The networks.
pub const NAMES: [&str; 2] = ["host", "none"];

/// A network's id: fixed, so that clients find it again.
pub fn id(name: &str) -> String {
    let letters: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{letters:0<64}")
}

/// The network with this name, id or beginning of an id.
///
/// # Errors
/// Docker's text when there is none.
pub fn find(reference: &str) -> Result<&'static str> {
    NAMES
        .into_iter()
        .find(|name| {
            *name == reference || (!reference.is_empty() && id(name).starts_with(reference))
        })
        .ok_or_else(|| Error::NotFound(format!("network {reference} not found")))
}

/// A network's driver: `none` is driven by `null`.
pub fn driver(name: &str) -> &'static str {
    if name == "host" { "host" } else { "null" }
}

/// One network. `created` is RFC 3339; `containers` are ids with names.
pub fn network(name: &str, created: &str, containers: &[(String, String)]) -> Value {
    let mut out = json!({
        "Name": name,
        "Id": id(name),
        "Created": created,
        "Scope": "local",
        "Driver": driver(name),
        "EnableIPv4": true,
        "EnableIPv6": false,
        "IPAM": {"Driver": "default", "Options": null, "Config": []},
        "Internal": false,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": false,
        "Containers": {},
        "Options": {},
        "Labels": {},
    });
    for (id, name) in containers {
        out["Containers"][id] = json!({"Name": name, "EndpointID": "", "MacAddress": "", "IPv4Address": "", "IPv6Address": ""});
    }
    out
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::NetworkInspect;

    use super::*;

    #[test]
    fn networks_are_found_by_name_and_id() {
        for (reference, expected) in [
            ("host", Ok("host")),
            ("none", Ok("none")),
            (&id("none")[..12], Ok("none")),
            ("bridge", Err("network bridge not found")),
            ("", Err("network  not found")),
        ] {
            let found = find(reference).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_owned));
        }
        assert_eq!(id("host").len(), 64);
    }

    #[test]
    fn a_network_fits_the_model() {
        let value = network(
            "none",
            "2023-11-14T22:13:20Z",
            &[("abc".into(), "web".into())],
        );
        let model: NetworkInspect = serde_json::from_value(value).unwrap();
        assert_eq!(model.driver.as_deref(), Some("null"));
        assert_eq!(
            model.containers.unwrap()["abc"].name.as_deref(),
            Some("web")
        );
    }
}
