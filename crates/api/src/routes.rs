//! Handlers: parse → engine → render. One file per kind of object.

pub mod archive;
pub mod attach;
pub mod commit;
pub mod containers;
pub mod coracle;
pub mod disk_usage;
pub mod events;
pub mod exec;
pub mod images;
pub mod lifecycle;
pub mod logs;
pub mod networks;
pub mod processes;
pub mod refused;
pub mod registry;
pub mod system;
pub mod volumes;
