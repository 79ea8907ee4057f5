//! Handing over to a new version of the engine: the same process executes another binary, and every container goes on.
//!
//! What survives is data ([`Handover`]) and descriptors ([`Keeper`] here, [`Inherited`] there). The way there:
//!
//! 1. `reload`: the new binary proves that it runs and knows this form of data; then all [work](crate::work) is finished.
//! 2. `collect`: nothing moves any more; pumps give back their ends of the pipes, and everything is written down.
//! 3. `execute`: the data goes into a memfd, the descriptors lose close-on-exec, and the binary is executed.
//! 4. `receive`, `adopt`: the successor takes the descriptors, reads the data, and serves every process as if it had
//!    started it. Where the data cannot be read, `kernel` finds out what the disk and the kernel know of it.

mod adopt;
mod collect;
mod descriptors;
mod execute;
mod kernel;
mod reload;
mod state;

pub use adopt::Arrival;
pub(crate) use adopt::Former;
pub use descriptors::{Idle, Inherited, Keeper, Number};
pub use execute::{Departure, OPTION};
pub(crate) use kernel::started;
pub use reload::{Reload, capabilities};
pub use state::{
    ContainerState, ExecHandover, Handover, IdleState, InputEnd, OutputEnd, Run, StreamEnds,
};
