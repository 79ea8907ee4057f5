//! Where System Docker's messages go: a log file, and warnings to the consoles too (inventory H4-002, A3-019).

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::Error;
use crate::consoles::Consoles;

/// Starts logging to `path`. With `debug`, everything is logged, otherwise what is worth knowing.
///
/// # Errors
/// When the file cannot be opened.
pub fn start(path: &Path, debug: bool) -> Result<(), Error> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(Error::io("make", directory))?;
    }
    // Appending, so that logrotate may cut it.
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(Error::io("open", path))?;
    let level = if debug {
        LevelFilter::DEBUG
    } else {
        LevelFilter::INFO
    };
    let to_file = fmt::layer()
        .with_ansi(false)
        .with_writer(Arc::new(file))
        .with_filter(level);
    let to_consoles = fmt::layer()
        .with_ansi(false)
        .without_time()
        .with_level(false)
        .with_target(false)
        .with_writer(Screens(Arc::new(Consoles::open())))
        .with_filter(LevelFilter::WARN);
    // A second call in one process keeps the first.
    let _ = tracing_subscriber::registry()
        .with(to_file)
        .with(to_consoles)
        .try_init();
    Ok(())
}

struct Screens(Arc<Consoles>);

struct Line(Arc<Consoles>);

impl<'a> MakeWriter<'a> for Screens {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(Arc::clone(&self.0))
    }
}

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.say(String::from_utf8_lossy(bytes).trim_end());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
