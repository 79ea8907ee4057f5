//! The Docker Engine API of System Docker: HTTP on a Unix socket in, calls of [`coracle_engine::Engine`] out.
//!
//! A request's way: `server` accepts its connection (root only) and reads it with hyper, or `sniff` does when hyper
//! cannot; `dispatch` finds its line in `table`; a handler in `routes` parses it, calls the engine and has the result
//! rendered by `render`. Handlers hold no logic. Connections that leave HTTP are served by `hijack`.

// The largest objects, written as one json! each.
#![recursion_limit = "256"]

mod answer;
mod body;
mod call;
mod connection;
mod container_filter;
mod dispatch;
mod error;
mod filters;
mod frame;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hijack;
mod image_filter;
mod json;
mod machine;
mod query;
mod render;
mod route;
mod routes;
mod server;
mod sniff;
mod table;
mod version;

pub use server::serve;
pub use version::ApiVersion;

/// The route table as text: method, path and handler of each route, one a line.
pub fn routes() -> String {
    table::ROUTES
        .iter()
        .map(|route| format!("{route}\n"))
        .collect()
}
