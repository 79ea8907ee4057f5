//! System Docker as PID 1 of a namespace, driven by the real docker command line.
//!
//! Each test starts its own engine (`coracle engine` as process 1 of new pid and mount namespaces, with its own cgroup2
//! mount) and runs a session: commands with the output that they must print, compared whole, with ids and times masked.
//! Root and a docker client are needed; without them the tests say so and pass.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod busybox;
mod cases;
mod client;
mod host;
mod random;
mod registry;
mod session;
