//! Image tars that wait on the disk are loaded into an engine, each once (inventory A7-002, B10-004, I1-034).
//!
//! The tars are streamed to the engine. xz is decompressed on the way: dockerd would need a program for it.

mod pieces;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bollard::query_parameters::ImportImageOptionsBuilder;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::engine::{Engine, Kind};
use pieces::pieces;

/// Where the tars are and where it is remembered which of them are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Has the sub-directories `system-docker` and `docker`.
    pub tars: PathBuf,
    /// Directory of the lists of loaded tars, `preloaded-<engine>.json`.
    pub remembered: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            tars: "/var/lib/rancher/preload".into(),
            remembered: "/var/lib/rancher/cache".into(),
        }
    }
}

impl Places {
    /// The directory of the tars for one engine.
    #[must_use]
    pub fn directory(&self, kind: Kind) -> PathBuf {
        self.tars.join(kind.command())
    }

    fn list(&self, kind: Kind) -> PathBuf {
        self.remembered
            .join(format!("preloaded-{}.json", kind.command()))
    }
}

/// What tells whether a file of the same name is still the one that was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    /// Nanoseconds since 1970.
    mtime: u64,
}

type Stamps = BTreeMap<String, Stamp>;

/// Whether there is a tar that was not loaded yet; when in doubt, yes.
pub(crate) fn is_anything_new(places: &Places, kind: Kind) -> bool {
    let loaded = remembered(&places.list(kind));
    scan(&places.directory(kind)).map_or(true, |present| {
        present
            .iter()
            .any(|(name, stamp)| loaded.get(name) != Some(stamp))
    })
}

/// Loads every tar of the engine's directory that was not loaded before. Failures are logged; the next boot tries again.
pub(crate) async fn load(engine: &Engine, places: &Places) {
    let directory = places.directory(engine.kind());
    let list = places.list(engine.kind());
    let present = match scan(&directory) {
        Ok(present) => present,
        Err(error) => return tracing::error!("preload: {error}"),
    };
    let mut loaded = remembered(&list);
    let before = loaded.clone();
    loaded.retain(|name, stamp| present.get(name) == Some(stamp));
    for (name, stamp) in &present {
        if loaded.contains_key(name) {
            continue;
        }
        match load_one(engine, &directory.join(name)).await {
            Ok(images) => {
                tracing::info!("preload: {name}: {images}");
                loaded.insert(name.clone(), *stamp);
            }
            Err(error) => tracing::error!("preload: {error}"),
        }
    }
    if loaded != before
        && let Err(error) = remember(&list, &loaded)
    {
        tracing::error!("preload: {error}");
    }
}

/// Streams one tar to the engine and returns what it says.
async fn load_one(engine: &Engine, tar: &Path) -> Result<String, Error> {
    let pieces = pieces(tar).map_err(|source| Error::File {
        action: "read",
        path: tar.into(),
        source,
    })?;
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let mut answers = std::pin::pin!(engine.docker().import_image_stream(options, pieces, None));
    let mut said = String::new();
    while let Some(answer) = answers.next().await {
        let answer = answer.map_err(|e| engine.failed("load", tar.display().to_string(), e))?;
        if let Some(text) = answer.stream {
            said.push_str(&text);
        }
    }
    Ok(said.trim().replace('\n', "; "))
}

/// The regular files of a directory, hidden and unfinished (`.part`, `.tmp`) ones aside. A missing directory is empty.
fn scan(directory: &Path) -> Result<Stamps, Error> {
    let fail = |source| Error::File {
        action: "list",
        path: directory.into(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Stamps::new()),
        Err(e) => return Err(fail(e)),
    };
    let mut found = Stamps::new();
    for entry in entries {
        let entry = entry.map_err(fail)?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let metadata = fs::metadata(entry.path()).map_err(fail)?;
        if !metadata.is_file()
            || name.starts_with('.')
            || name.ends_with(".part")
            || name.ends_with(".tmp")
        {
            continue;
        }
        let age = metadata
            .modified()
            .map_err(fail)?
            .duration_since(UNIX_EPOCH);
        let mtime = u64::try_from(age.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
        let size = metadata.len();
        found.insert(name, Stamp { size, mtime });
    }
    Ok(found)
}

/// What was loaded before. An unreadable list counts as empty: loading twice does no harm.
fn remembered(list: &Path) -> Stamps {
    fs::read(list)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

fn remember(list: &Path, loaded: &Stamps) -> Result<(), Error> {
    let fail = |source| Error::File {
        action: "write",
        path: list.into(),
        source,
    };
    let text = serde_json::to_vec_pretty(loaded).map_err(|e| fail(e.into()))?;
    let temporary = list.with_extension("json.tmp");
    if let Some(parent) = list.parent() {
        fs::create_dir_all(parent).map_err(fail)?;
    }
    let mut file = fs::File::create(&temporary).map_err(fail)?;
    file.write_all(&text)
        .and_then(|()| file.sync_all())
        .map_err(fail)?;
    fs::rename(&temporary, list).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_files_are_found_with_size_and_time() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("a.tar", "12345"), (".hidden", "x"), ("b.tar.part", "x")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::create_dir(dir.path().join("sub")).unwrap();
        let found = scan(dir.path()).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a.tar"]);
        assert_eq!(found["a.tar"].size, 5);
        assert_eq!(scan(&dir.path().join("none")).unwrap(), Stamps::new());
    }

    #[test]
    fn list_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("cache/preloaded-docker.json");
        assert_eq!(remembered(&list), Stamps::new());
        let loaded = Stamps::from([("a.tar".into(), Stamp { size: 5, mtime: 7 })]);
        remember(&list, &loaded).unwrap();
        assert_eq!(remembered(&list), loaded);
        fs::write(&list, "{").unwrap();
        assert_eq!(remembered(&list), Stamps::new());
    }
}
