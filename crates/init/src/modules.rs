//! Kernel modules without modprobe: the index that depmod wrote, the plan for one module, and loading by `finit_module(2)`.

mod alias;
mod command;
mod index;
mod loader;
mod options;

pub use command::modprobe;
pub use index::Index;
pub use loader::Loader;
pub use options::Options;

/// Module names are the same with `-` and `_` (modprobe(8)); the kernel uses `_`.
pub(crate) fn normalise(name: &str) -> String {
    name.replace('-', "_")
}
