//! Container logs: Docker's json-file format, with rotation.

mod entry;
mod reader;
mod split;
mod writer;

pub use entry::LogLine;
pub use reader::{LogQuery, LogReader, Tail};
pub use split::LineSplitter;
pub use writer::{Log, Rotation};
