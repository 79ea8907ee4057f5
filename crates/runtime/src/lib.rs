//! Making containers out of OCI bundles.
//!
//! Two halves that never run in the same process:
//!
//! * [`main`] is the helper, `coracle runtime …`: runc's command line on top of `libcontainer`, single-threaded, gone as
//!   soon as the container's first process exists.
//! * [`Runtime`] is PID 1's side: it describes the helper's command line, sends the byte that starts a container, and
//!   reads what the helper left behind. It neither forks nor waits.
//!
//! [`init_process`] is a third one: the first process in a container that asks for an init.
//!
//! Besides, the parts of a container's configuration that Docker gives by default, as data: [`capabilities`],
//! [`devices`], [`seccomp`], and the [`device_filter`] that `libcontainer` does not install on cgroup v2.

pub mod capabilities;
pub mod device_filter;
pub mod devices;
mod error;
mod failure;
mod helper;
mod host;
pub mod init_process;
pub mod seccomp;
mod spec;

pub use error::Error;
pub use failure::{Failure, FailureKind};
pub use helper::{OWN_DIRECTORIES, main};
pub use host::{Create, Exec, Runtime};
pub use spec::normalise;
