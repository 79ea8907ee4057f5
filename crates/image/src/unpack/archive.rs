//! `unpack load`: an image archive becomes layers and configurations of a store.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use coracle_sys::spawn::{Command, Direct, Launcher};
use rustix::pipe::{PipeFlags, pipe_with};

use super::Message;
use super::manifest::{self, Item, MANIFEST_FILE};
use super::oci_layout::{self, INDEX_FILE, LAYOUT_FILE};
use super::spool::{Spool, temporary};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::error::Error;
use crate::files::{Layout, mark_unfinished, write_atomically};

/// Loads the archive that `reader` gives into the store at `root`, telling stdout about it.
///
/// Layers and configurations are put in place one by one, each complete and checked; names are up to who asked.
pub fn load(reader: impl Read, root: &Path) -> Result<(), Error> {
    let layout = Layout::new(root);
    let spool = Spool::read(reader, temporary(&layout.layers(), "load"))?;
    let items = if spool.has(MANIFEST_FILE) {
        manifest::parse(&spool.document(MANIFEST_FILE)?)?
    } else if spool.has(LAYOUT_FILE) {
        let index = spool.document(INDEX_FILE)?;
        oci_layout::items(&index, |path| spool.document(path))?
    } else {
        return Err(Error::Archive(format!(
            "invalid archive: neither {MANIFEST_FILE} nor {LAYOUT_FILE}: this is no image archive"
        )));
    };
    for item in items {
        let (id, names) = load_image(&item, &spool, &layout)?;
        tell(&Message::Image { id, names })?;
    }
    Ok(())
}

fn load_image(item: &Item, spool: &Spool, layout: &Layout) -> Result<(Digest, Vec<String>), Error> {
    let names = item.names()?;
    let bytes = spool.document(&item.config)?;
    let id = Digest::of(&bytes);
    if item.promised_id().is_some_and(|promised| promised != id) {
        return Err(Error::Archive(format!(
            "{} in the archive is damaged: its digest is {id}",
            item.config
        )));
    }
    let config: ImageConfig = serde_json::from_slice(&bytes)
        .map_err(|error| Error::Archive(format!("{}: {error}", item.config)))?;
    let mut missing = item.layers(&config)?;
    missing.retain(|(_, diff_id)| !layout.layer(diff_id).exists());
    // An image may have a layer twice.
    let mut seen = HashSet::new();
    missing.retain(|(_, diff_id)| seen.insert(*diff_id));
    load_layers(&missing, spool, layout)?;
    let path = layout.config(&id);
    if !path.exists() {
        mark_unfinished(layout, &id)?;
    }
    write_atomically(&path, &bytes)?;
    Ok((id, names))
}

/// Unpacks layers, on each processor one at a time: most of the work is computing digests.
fn load_layers(layers: &[(&str, &Digest)], spool: &Spool, layout: &Layout) -> Result<(), Error> {
    let next = Mutex::new(layers.iter());
    let work = || {
        loop {
            let Some((entry, diff_id)) = next.lock().unwrap_or_else(PoisonError::into_inner).next()
            else {
                return Ok(());
            };
            tell(&Message::Layer((*diff_id).clone()))?;
            load_layer(spool.open(entry)?, diff_id, layout, &Direct)?;
        }
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..processors.min(layers.len()))
            .map(|_| scope.spawn(work))
            .collect();
        let results = workers.into_iter().map(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => resume_unwind(panic),
        });
        // All of them have ended when the first error is told.
        results.fold(Ok(()), Result::and)
    })
}

/// Unpacks a layer beside its place, and moves it there when it is complete.
pub(crate) fn load_layer(
    blob: File,
    diff_id: &Digest,
    layout: &Layout,
    launcher: &dyn Launcher,
) -> Result<(), Error> {
    place_layer(blob, Some(diff_id), layout, launcher).map(drop)
}

/// As [`load_layer`], for an archive whose digest is found out, and given.
pub(crate) fn import_layer(
    blob: File,
    layout: &Layout,
    launcher: &dyn Launcher,
) -> Result<Digest, Error> {
    place_layer(blob, None, layout, launcher)
}

fn place_layer(
    blob: File,
    expected: Option<&Digest>,
    layout: &Layout,
    launcher: &dyn Launcher,
) -> Result<Digest, Error> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let making = temporary(&layout.layers(), &format!("layer-{number}"));
    let placed = make_layer(blob, expected, layout, &making, launcher);
    if placed.is_err() {
        let _ = fs::remove_dir_all(&making);
    }
    placed
}

fn make_layer(
    blob: File,
    expected: Option<&Digest>,
    layout: &Layout,
    making: &Path,
    launcher: &dyn Launcher,
) -> Result<Digest, Error> {
    let tree = Layout::tree(making);
    fs::create_dir_all(&tree).map_err(Error::io("make", &tree))?;
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o755))
        .map_err(Error::io("change", &tree))?;
    let (diff_id, size) = confined(blob, making, expected, launcher)?;
    write_atomically(&Layout::size(making), size.to_string().as_bytes())?;
    let place = layout.layer(&diff_id);
    if place.exists() {
        // Only an imported layer is found to be here after it was unpacked.
        let _ = fs::remove_dir_all(making);
        return Ok(diff_id);
    }
    fs::rename(making, &place).map_err(Error::io("put in place", place))?;
    Ok(diff_id)
}

/// Runs `unpack layer` in a process of its own, which cannot leave the tree in `making`; gives the digest of the archive
/// and the bytes of its files.
fn confined(
    blob: File,
    making: &Path,
    expected: Option<&Digest>,
    launcher: &dyn Launcher,
) -> Result<(Digest, u64), Error> {
    let start = |error: std::io::Error| {
        Error::Archive(format!("cannot start the unpacking process: {error}"))
    };
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| start(error.into()))?;
    let path = Layout::recipe(making);
    let recipe = File::create(&path).map_err(Error::io("make", path))?;
    let diff_id = expected.map(|digest| ["--diff-id".to_owned(), digest.to_string()]);
    let command = Command::new("/proc/self/exe")
        .with_parent()
        .arg0("coracle")
        .args(["unpack", "layer", "--target"])
        .arg(Layout::tree(making))
        .args(diff_id.into_iter().flatten())
        .fd(blob, 0)
        .fd(write, 1)
        .fd(recipe, 3);
    let wait = launcher.launch(&command).map_err(start)?;
    drop(command);
    let mut last = None;
    for line in BufReader::new(File::from(read))
        .lines()
        .map_while(Result::ok)
    {
        last = serde_json::from_str(&line).ok();
    }
    let status = wait().map_err(start)?;
    match last {
        Some(Message::Unpacked { diff_id, size }) if status.exit_status() == Some(0) => {
            Ok((diff_id, size))
        }
        Some(Message::Error(message)) => Err(Error::Archive(message)),
        _ => Err(Error::Archive(match expected {
            Some(diff_id) => {
                format!("the unpacking process of layer {diff_id} ended early ({status:?})")
            }
            None => format!("the unpacking process ended early ({status:?})"),
        })),
    }
}

fn tell(message: &Message) -> Result<(), Error> {
    message.send().map_err(Error::io("write to", "stdout"))
}
