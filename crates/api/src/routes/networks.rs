//! Networks: there are two, and no more can be made.

use coracle_engine::time;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::error::{Error, Result};
use crate::filters::Filters;
use crate::render::network;

/// The keys that Docker knows.
const KEYS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

/// `GET /networks`
pub async fn list(call: Call) -> Result<Answer> {
    let filters = call.query.filters(KEYS)?;
    let created = time::format(call.engine.started());
    let dangling = filters.flag("dangling")?;
    let networks: Vec<Value> = network::NAMES
        .into_iter()
        .filter(|name| dangling != Some(true) && accepts(&filters, name))
        .map(|name| network::network(name, &created, &[]))
        .collect();
    Answer::json(&networks)
}

/// Both networks are built in: they never dangle and have no labels.
fn accepts(filters: &Filters, name: &str) -> bool {
    filters.fits("name", name)
        && filters.any("id", |id| network::id(name).starts_with(id))
        && filters.is("driver", network::driver(name))
        && filters.is("scope", "local")
        && filters.is("type", "builtin")
        && !filters.has("label")
}

/// `GET /networks/{name}`
pub async fn inspect(call: Call) -> Result<Answer> {
    let name = network::find(call.target())?;
    let snapshots = call
        .engine
        .all()
        .into_iter()
        .map(|container| container.snapshot());
    let members: Vec<(String, String)> = snapshots
        .filter(|container| {
            container.state.status.is_active() && container.record.network_mode() == name
        })
        .map(|container| (container.record.id, container.record.name))
        .collect();
    Answer::json(&network::network(
        name,
        &time::format(call.engine.started()),
        &members,
    ))
}

/// `DELETE /networks/{name}`
pub async fn remove(call: Call) -> Result<Answer> {
    let name = network::find(call.target())?;
    Err(Error::Forbidden(format!(
        "{name} is a pre-defined network and cannot be removed"
    )))
}

/// `POST /networks/create`
pub async fn create(_: Call) -> Result<Answer> {
    Err(unsupported("creates none"))
}

/// `POST /networks/{name}/connect` and `disconnect`
pub async fn connect(call: Call) -> Result<Answer> {
    network::find(call.target())?;
    Err(unsupported("cannot change those of a container"))
}

fn unsupported(what: &str) -> Error {
    Error::NotImplemented(format!(
        "System Docker has the networks host and none and {what}; User Docker (the docker command) has all others"
    ))
}

/// `POST /networks/prune`: nothing to do, so that `docker system prune` works.
pub async fn prune(call: Call) -> Result<Answer> {
    call.query.filters(&["label", "label!", "until"])?;
    Answer::json(&json!({ "NetworksDeleted": null }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_choose_networks() {
        for (json, expected) in [
            ("{}", &["host", "none"][..]),
            (r#"{"name":["ho"]}"#, &["host"]),
            (r#"{"driver":["null"]}"#, &["none"]),
            (r#"{"type":["custom"]}"#, &[]),
            (r#"{"scope":["swarm"]}"#, &[]),
            (r#"{"label":["a"]}"#, &[]),
        ] {
            let filters = Filters::parse(json).unwrap();
            let found: Vec<_> = network::NAMES
                .into_iter()
                .filter(|name| accepts(&filters, name))
                .collect();
            assert_eq!(found, expected, "{json}");
        }
    }
}
