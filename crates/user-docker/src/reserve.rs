//! Space for the day on which the disk is full (inventory J3-007).
//!
//! dockerd does not start without free space (it makes a directory first of all), and without dockerd nobody can remove the images,
//! containers and volumes that fill the disk. So a file beside Docker's data keeps some. It goes when the engine starts on a full disk,
//! and is made again when the engine starts on one with plenty.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{FallocateFlags, StatFs, fallocate, statfs};
use rustix::io::Errno;

/// The file, in the directory of Docker's data.
const NAME: &str = ".reserve";
/// How much it keeps, in bytes: room for a start and for what removing images writes.
const SIZE: u64 = 32 << 20;
/// With less free than this, a start may fail: it needs a few MiB, and ext4 counts up to 16 MiB as free that it keeps for its own
/// needs (kernel: `ext4_calculate_resv_clusters`).
const NEEDED: u64 = 32 << 20;
/// With this much free nobody misses what the file takes.
const PLENTY: u64 = 8 * SIZE;

/// File systems in memory, where it would cost memory, and those that may be (kernel: include/uapi/linux/magic.h).
const TMPFS_MAGIC: u64 = 0x0102_1994;
const OVERLAYFS_MAGIC: u64 = 0x794c_7630;

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Leave,
    Take,
    Release,
}

/// What to do where `free` bytes are free besides the reserve, if that `is_kept`.
fn step(free: u64, is_kept: bool) -> Step {
    match is_kept {
        true if free < NEEDED => Step::Release,
        false if free >= PLENTY => Step::Take,
        _ => Step::Leave,
    }
}

/// Takes or releases the reserve of `data_root`, before the engine starts. Failures are logged: it may start without.
pub fn settle(data_root: &Path) {
    let file = data_root.join(NAME);
    let done = statfs(data_root)
        .map_err(io::Error::from)
        .and_then(|disk| match step(free(&disk), file.exists()) {
            Step::Leave => Ok(()),
            Step::Take if is_in_memory(&disk) => Ok(()),
            Step::Take => take(&file),
            Step::Release => {
                tracing::warn!(
                    "{} is on a full disk: the {} MiB that were kept for this are free now, so that Docker can start. Remove what is \
                     not needed, for instance by \"docker system prune\"",
                    data_root.display(),
                    SIZE >> 20
                );
                fs::remove_file(&file)
            }
        });
    if let Err(error) = done {
        tracing::warn!("no reserve for a full disk: {}: {error}", file.display());
    }
}

/// What root may still use, in bytes.
fn free(disk: &StatFs) -> u64 {
    disk.f_bfree.saturating_mul(disk.f_bsize.unsigned_abs())
}

fn is_in_memory(disk: &StatFs) -> bool {
    [TMPFS_MAGIC, OVERLAYFS_MAGIC].contains(&disk.f_type.unsigned_abs())
}

/// Makes the file; where the file system cannot keep space, there is none.
fn take(path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    let kept = fallocate(&file, FallocateFlags::empty(), 0, SIZE);
    if kept.is_err() {
        fs::remove_file(path)?;
    }
    match kept {
        Err(Errno::NOTSUP) => Ok(()),
        kept => Ok(kept?),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_full_disk_gets_the_reserve_and_a_roomy_one_keeps_it() {
        let table = [
            (0, true, Step::Release),
            (NEEDED - 1, true, Step::Release),
            (NEEDED, true, Step::Leave),
            (u64::MAX, true, Step::Leave),
            (0, false, Step::Leave),
            (PLENTY - 1, false, Step::Leave),
            (PLENTY, false, Step::Take),
        ];
        for (free, is_kept, expected) in table {
            assert_eq!(step(free, is_kept), expected, "{free} {is_kept}");
        }
    }

    #[test]
    fn the_reserve_takes_blocks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        take(&path).unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert_eq!((meta.len(), meta.blocks() * 512 >= SIZE), (SIZE, true));
    }

    #[test]
    fn nothing_is_kept_in_memory() {
        let memory = statfs("/dev/shm").unwrap();
        assert!(is_in_memory(&memory));
        settle(Path::new("/dev/shm"));
        assert!(!Path::new("/dev/shm").join(NAME).exists());
    }
}
