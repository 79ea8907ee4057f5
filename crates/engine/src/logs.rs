//! Container logs: files in Docker's json-file format, with rotation, and syslog.

mod entry;
mod log;
mod reader;
mod split;
mod syslog;
mod writer;

pub use entry::LogLine;
pub use log::Log;
pub use reader::{LogQuery, LogReader, Tail};
pub use split::LineSplitter;
pub use syslog::{Syslog, SyslogTarget};
pub use writer::Rotation;
