//! Networks.

use std::collections::HashMap;

use bollard_stubs::models::{
    NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
};
use coracle_engine::networks::model::Network;
use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::lifecycle::nullable;
use crate::answer::Answer;
use crate::call::Call;
use crate::error::{Error, Result};
use crate::filters::Filters;
use crate::image_filter;
use crate::render::network;

/// The keys that Docker knows.
const KEYS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

/// `GET /networks`
pub async fn list(call: Call) -> Result<Answer> {
    let filters = call.query.filters(KEYS)?;
    let dangling = filters.flag("dangling")?;
    if let Some(kind) = filters
        .get("type")
        .iter()
        .find(|kind| !matches!(kind.as_str(), "builtin" | "custom"))
    {
        return Err(Error::BadRequest(format!(
            "invalid filter: 'type'='{kind}'"
        )));
    }
    let dangles =
        |network: &Network| !network.is_predefined() && !call.engine.is_configured(network);
    let networks: Vec<Value> = call
        .engine
        .networks()
        .list()
        .iter()
        .filter(|network| accepts(&filters, network))
        .filter(|network| dangling.is_none_or(|wanted| wanted == dangles(network)))
        .map(network::network)
        .collect();
    Answer::json(&networks)
}

fn accepts(filters: &Filters, network: &Network) -> bool {
    let kind = if network.is_predefined() {
        "builtin"
    } else {
        "custom"
    };
    filters.fits("name", &network.name)
        && filters.any("id", |id| network.id.starts_with(id))
        && filters.is("driver", network.driver.name())
        && filters.is("scope", "local")
        && filters.is("type", kind)
        && filters.has_labels("label", &labels(network))
}

fn labels(network: &Network) -> HashMap<String, String> {
    network.labels.clone().into_iter().collect()
}

/// `GET /networks/{name}`
pub async fn inspect(call: Call) -> Result<Answer> {
    if let Some(scope) = call
        .query
        .text("scope")
        .filter(|scope| !matches!(*scope, "" | "local"))
    {
        // There is one scope here.
        return Err(Error::NotFound(format!(
            "network {} not found in scope {scope}",
            call.target()
        )));
    }
    let network = call.engine.networks().find(call.target())?;
    let members = call.engine.network_members(&network);
    Answer::json(&network::inspect(&network, &members))
}

/// `DELETE /networks/{name}`
pub async fn remove(call: Call) -> Result<Answer> {
    call.engine.remove_network(call.target()).await?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

/// `POST /networks/create`
pub async fn create(mut call: Call) -> Result<Answer> {
    let body: NetworkCreateRequest = call.json().await?;
    let id = call.engine.create_network(body).await?;
    Answer::json_as(StatusCode::CREATED, &json!({"Id": id, "Warning": ""}))
}

/// `POST /networks/{name}/connect`
pub async fn connect(mut call: Call) -> Result<Answer> {
    let body: NetworkConnectRequest = call.json().await?;
    let settings = body.endpoint_config.unwrap_or_default();
    call.engine
        .connect_network(call.target(), &body.container, settings)
        .await?;
    Ok(Answer::empty(StatusCode::OK))
}

/// `POST /networks/{name}/disconnect`
pub async fn disconnect(mut call: Call) -> Result<Answer> {
    let body: NetworkDisconnectRequest = call.json().await?;
    let force = body.force.unwrap_or(false);
    call.engine
        .disconnect_network(call.target(), &body.container, force)
        .await?;
    Ok(Answer::empty(StatusCode::OK))
}

/// `POST /networks/prune`
pub async fn prune(call: Call) -> Result<Answer> {
    let filters = call.query.filters(&["label", "label!", "until"])?;
    let until = image_filter::until(&filters, Timestamp::now())?;
    let wanted = |network: &Network, created: Option<Timestamp>| {
        let labels = labels(network);
        filters.has_labels("label", &labels)
            && filters.lacks_labels("label!", &labels)
            && until.is_none_or(|until| created.is_some_and(|created| created < until))
    };
    let removed = call.engine.prune_networks(&wanted).await?;
    Answer::json(&json!({ "NetworksDeleted": nullable(&removed) }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use coracle_engine::networks::model::Driver;

    use super::*;

    fn named(name: &str, driver: Driver) -> Network {
        Network {
            labels: BTreeMap::from([("of".into(), name.into())]),
            ..Network::new(
                format!("{name}0123"),
                name.into(),
                "2026-01-01T00:00:00Z".into(),
                driver,
            )
        }
    }

    #[test]
    fn filters_choose_networks() {
        let all = [
            named("host", Driver::Host),
            named("none", Driver::Null),
            named("foo", Driver::Bridge),
        ];
        for (json, expected) in [
            ("{}", &["host", "none", "foo"][..]),
            (r#"{"name":["ho"]}"#, &["host"]),
            (r#"{"name":["^o"]}"#, &[]),
            (r#"{"id":["foo01"]}"#, &["foo"]),
            (r#"{"driver":["null","bridge"]}"#, &["none", "foo"]),
            (r#"{"type":["custom"]}"#, &["foo"]),
            (r#"{"type":["builtin"]}"#, &["host", "none"]),
            (r#"{"scope":["swarm"]}"#, &[]),
            (r#"{"label":["a"]}"#, &[]),
            (r#"{"label":["of=foo"]}"#, &["foo"]),
        ] {
            let filters = Filters::parse(json).unwrap();
            let found: Vec<_> = all
                .iter()
                .filter(|network| accepts(&filters, network))
                .map(|network| network.name.as_str())
                .collect();
            assert_eq!(found, expected, "{json}");
        }
    }
}
