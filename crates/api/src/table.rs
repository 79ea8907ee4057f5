//! The route table: every path of the Docker Engine API, versions 1.24 to 1.53, in the order in which they are tried.

use hyper::Method;

use crate::route::Route;
use crate::routes::{
    archive, attach, commit, containers, coracle, disk_usage, events, exec, images, lifecycle,
    logs, networks, processes, refused, registry, system, volumes,
};

macro_rules! routes {
    ($($method:ident $pattern:literal => $module:ident::$handler:ident,)*) => {
        &[$(Route {
            method: routes!(@method $method),
            pattern: $pattern,
            name: concat!(stringify!($module), "::", stringify!($handler)),
            handler: |call| Box::pin($module::$handler(call)),
        }),*]
    };
    (@method ANY) => { None };
    (@method $method:ident) => { Some(Method::$method) };
}

/// The route table.
pub static ROUTES: &[Route] = routes! {
    GET "/_ping" => system::ping,
    HEAD "/_ping" => system::ping,
    GET "/version" => system::version,
    GET "/info" => system::info,
    GET "/system/df" => disk_usage::df,
    GET "/events" => events::events,
    POST "/auth" => registry::log_in,

    GET "/containers/json" => containers::list,
    POST "/containers/create" => containers::create,
    POST "/containers/prune" => containers::prune,
    GET "/containers/{name}/json" => containers::inspect,
    GET "/containers/{name}/top" => processes::top,
    GET "/containers/{name}/stats" => processes::stats,
    GET "/containers/{name}/logs" => logs::logs,
    GET "/containers/{name}/changes" => archive::changes,
    GET "/containers/{name}/export" => archive::export,
    HEAD "/containers/{name}/archive" => archive::stat,
    GET "/containers/{name}/archive" => archive::read,
    PUT "/containers/{name}/archive" => archive::write,
    GET "/containers/{name}/attach/ws" => attach::websocket,
    POST "/containers/{name}/attach" => attach::attach,
    POST "/containers/{name}/start" => lifecycle::start,
    POST "/containers/{name}/stop" => lifecycle::stop,
    POST "/containers/{name}/restart" => lifecycle::restart,
    POST "/containers/{name}/kill" => lifecycle::kill,
    POST "/containers/{name}/pause" => lifecycle::pause,
    POST "/containers/{name}/unpause" => lifecycle::unpause,
    POST "/containers/{name}/rename" => lifecycle::rename,
    POST "/containers/{name}/update" => lifecycle::update,
    POST "/containers/{name}/resize" => lifecycle::resize,
    POST "/containers/{name}/wait" => lifecycle::wait,
    DELETE "/containers/{name}" => lifecycle::remove,
    GET "/containers/{name}/checkpoints" => refused::checkpoint,
    POST "/containers/{name}/checkpoints" => refused::checkpoint,
    DELETE "/containers/{name}/checkpoints/{checkpoint}" => refused::checkpoint,

    POST "/containers/{name}/exec" => exec::create,
    POST "/exec/{id}/start" => exec::start,
    POST "/exec/{id}/resize" => exec::resize,
    GET "/exec/{id}/json" => exec::inspect,

    GET "/images/json" => images::list,
    GET "/images/get" => images::save_several,
    GET "/images/search" => refused::search,
    POST "/images/create" => registry::create,
    POST "/images/load" => images::load,
    POST "/images/prune" => images::prune,
    GET "/images/{name...}/json" => images::inspect,
    GET "/images/{name...}/get" => images::save,
    GET "/images/{name...}/history" => images::history,
    POST "/images/{name...}/tag" => images::tag,
    POST "/images/{name...}/push" => registry::push,
    DELETE "/images/{name...}" => images::remove,
    GET "/distribution/{name...}/json" => registry::distribution,
    POST "/commit" => commit::commit,

    GET "/volumes" => volumes::list,
    POST "/volumes/create" => volumes::create,
    POST "/volumes/prune" => volumes::prune,
    GET "/volumes/{name}" => volumes::inspect,
    DELETE "/volumes/{name}" => volumes::remove,

    GET "/networks" => networks::list,
    POST "/networks/create" => networks::create,
    POST "/networks/prune" => networks::prune,
    POST "/networks/{name}/connect" => networks::connect,
    POST "/networks/{name}/disconnect" => networks::disconnect,
    GET "/networks/{name}" => networks::inspect,
    DELETE "/networks/{name}" => networks::remove,

    GET "/coracle/engine" => coracle::engine,
    POST "/coracle/reload" => coracle::reload,

    POST "/build/prune" => refused::build_prune,
    ANY "/build" => refused::build,
    ANY "/build/{rest...}" => refused::build,
    ANY "/session" => refused::build,
    ANY "/grpc" => refused::build,
    GET "/plugins" => refused::plugins,
    GET "/plugins/{name...}/json" => refused::no_plugin,
    ANY "/plugins/{rest...}" => refused::plugin,
    POST "/swarm/init" => refused::swarm_join,
    POST "/swarm/join" => refused::swarm_join,
    POST "/swarm/leave" => refused::swarm_leave,
    ANY "/swarm" => refused::swarm,
    ANY "/swarm/{rest...}" => refused::swarm,
    ANY "/nodes" => refused::swarm,
    ANY "/nodes/{rest...}" => refused::swarm,
    ANY "/services" => refused::swarm,
    ANY "/services/{rest...}" => refused::swarm,
    ANY "/tasks" => refused::swarm,
    ANY "/tasks/{rest...}" => refused::swarm,
    ANY "/secrets" => refused::swarm,
    ANY "/secrets/{rest...}" => refused::swarm,
    ANY "/configs" => refused::swarm,
    ANY "/configs/{rest...}" => refused::swarm,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route;

    #[test]
    fn requests_find_their_handlers() {
        for (method, path, expected) in [
            (Method::GET, "/_ping", Some("system::ping")),
            (Method::HEAD, "/_ping", Some("system::ping")),
            (Method::POST, "/_ping", None),
            (Method::GET, "/containers/json", Some("containers::list")),
            (
                Method::GET,
                "/containers/json/json",
                Some("containers::inspect"),
            ),
            (Method::POST, "/containers/prune", Some("containers::prune")),
            (Method::DELETE, "/containers/web", Some("lifecycle::remove")),
            (Method::DELETE, "/containers/", None),
            (Method::GET, "/images/json", Some("images::list")),
            (Method::GET, "/images/a/b/json", Some("images::inspect")),
            (Method::DELETE, "/images/a/b:1", Some("images::remove")),
            (Method::POST, "/build/prune", Some("refused::build_prune")),
            (Method::POST, "/build", Some("refused::build")),
            (Method::GET, "/swarm", Some("refused::swarm")),
            (Method::GET, "/nodes/x/y", Some("refused::swarm")),
            (Method::GET, "/nowhere", None),
        ] {
            let found = route::find(ROUTES, &method, path).map(|(route, _)| route.name);
            assert_eq!(found, expected, "{method} {path}");
        }
    }

    #[test]
    fn no_route_hides_another() {
        for (index, route) in ROUTES.iter().enumerate() {
            let Some(method) = &route.method else {
                continue;
            };
            let path = route.pattern.replace(['{', '}'], "");
            let found = route::find(ROUTES, method, &path).map(|(found, _)| found.pattern);
            assert_eq!(found, Some(route.pattern), "line {index}: {route}");
        }
    }
}
