//! What `fuzz/` calls and nobody else may: requests as far as they are parsed without an engine. Only with `--cfg fuzzing`.

use bollard_stubs::models::HostConfig;
use coracle_image::ImageConfig;
use hyper::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::container_filter::{self, ContainerFilter};
use crate::image_filter::ImageFilter;
use crate::query::Query;
use crate::table::ROUTES;
use crate::version::{self, ApiVersion};
use crate::{call, route, routes, sniff};

/// The beginning of a connection, and what a request line says.
pub fn head(bytes: &[u8]) {
    sniff::look_at(bytes);
    let Ok(target) = std::str::from_utf8(bytes) else {
        return;
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (version, path) = version::split(path);
    let _ = version.map(ApiVersion::negotiate);
    for method in [Method::GET, Method::POST, Method::DELETE] {
        route::find(ROUTES, &method, path);
    }
    let query = Query::parse(query);
    for name in ["since", "until", "t", "limit", "filters"] {
        let _ = (
            query.time(name),
            query.number::<i64>(name),
            query.flag(name),
        );
    }
    if let Ok(filters) = query.filters(container_filter::KEYS) {
        let _ = ContainerFilter::new(filters.clone(), true, 1);
        let _ = ImageFilter::new(filters, Timestamp::UNIX_EPOCH);
    }
    let _ = coracle_engine::detach::parse_keys(query.get("detachKeys").unwrap_or_default());
}

/// Bodies: of create, as far as it goes without an engine, and of the others.
pub fn body(bytes: &[u8]) {
    let Ok(body) = call::parse_json::<Value>("application/json", bytes) else {
        return;
    };
    if let Ok(host_config) = HostConfig::deserialize(&body) {
        let _ = coracle_engine::fuzzing::check_limits(host_config);
    }
    if let Ok(request) = routes::containers::request(body, Some("x")) {
        let _ = coracle_engine::fuzzing::check_create(request, &ImageConfig::default());
    }
}
