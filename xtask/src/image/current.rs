//! Whether `dist/` holds already what would be built.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::binary::Binaries;
use super::digest::Digest;
use super::tree::Tree;

/// Beside the results: what they were made of.
const FILE: &str = ".made.json";

/// Results and what they were made of.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Made {
    inputs: String,
    /// Name, size in bytes, and time of the last change in nanoseconds since 1970.
    files: BTreeMap<String, (u64, u128)>,
}

/// A hash of all that decides what the results are: the sources, this program, and the packages.
pub fn inputs(
    root: &Path,
    binaries: &Binaries,
    packages: &str,
    quick: bool,
) -> anyhow::Result<String> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut hash = Digest::default();
    hash.field(Tree::read_directory(&root.join("images"))?.digest()?)
        .field(fs::read(root.join("Cargo.lock")).context("cannot read Cargo.lock")?)
        .field(fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?)
        .field(&binaries.coracle)
        .field(&binaries.early)
        .field(packages)
        .field([u8::from(quick)]);
    Ok(hash.hex())
}

/// Whether the results in `dist` were made of `inputs`, and nobody has changed them since.
pub fn is_current(dist: &Path, inputs: &str) -> bool {
    let made = fs::read(dist.join(FILE)).ok();
    let made = made.and_then(|bytes| serde_json::from_slice::<Made>(&bytes).ok());
    made.is_some_and(|made| {
        made.inputs == inputs && files(dist).is_ok_and(|files| files == made.files)
    })
}

/// From here on the results are not what they were.
pub fn forget(dist: &Path) -> anyhow::Result<()> {
    let path = dist.join(FILE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Notes that the results are whole.
pub fn note(dist: &Path, inputs: &str) -> anyhow::Result<()> {
    let made = Made {
        inputs: inputs.to_owned(),
        files: files(dist)?,
    };
    super::write(&dist.join(FILE), &serde_json::to_vec(&made)?)
}

fn files(dist: &Path) -> anyhow::Result<BTreeMap<String, (u64, u128)>> {
    let mut found = BTreeMap::new();
    for directory in [dist, &dist.join("images")] {
        let list = fs::read_dir(directory)
            .with_context(|| format!("cannot list {}", directory.display()))?;
        for entry in list {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_file() && entry.file_name() != FILE {
                let changed = metadata.modified()?.duration_since(UNIX_EPOCH)?.as_nanos();
                let path = entry.path();
                let name = path.strip_prefix(dist)?.display().to_string();
                found.insert(name, (metadata.len(), changed));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_current_until_they_or_what_they_are_made_of_change() {
        let dir = tempfile::tempdir().expect("a directory");
        let dist = dir.path();
        fs::create_dir(dist.join("images")).expect("a directory");
        let write = |name: &str, text: &str| fs::write(dist.join(name), text).expect("a file");
        write("initrd", "a");
        write("images/extra.tar", "b");
        assert!(!is_current(dist, "1"));
        note(dist, "1").expect("noted");
        assert!(is_current(dist, "1"));
        assert!(!is_current(dist, "2"));
        type Change<'a> = (&'a str, &'a dyn Fn());
        let changes: [Change<'_>; 4] = [
            ("another size", &|| write("initrd", "longer")),
            ("another file", &|| write("images/extra.tar", "c")),
            ("one more", &|| write("more", "")),
            ("one missing", &|| {
                fs::remove_file(dist.join("more")).expect("removed");
            }),
        ];
        for (what, change) in changes {
            change();
            assert!(!is_current(dist, "1"), "{what}");
            note(dist, "1").expect("noted");
            assert!(is_current(dist, "1"), "{what}");
        }
        forget(dist).expect("forgotten");
        forget(dist).expect("nothing to forget");
        assert!(!is_current(dist, "1"));
        fs::write(dist.join(FILE), "damaged").expect("a file");
        assert!(!is_current(dist, "1"));
    }
}
