//! Reading what every boot runs ahead of its use.
//!
//! A Go program of 80 MB that starts from a compressed file system faults its pages in one by one, in no order, and the processor
//! that waits for each is the one that should run it. Until the services start, the other processors have nothing to do.

use std::fs::{self, File};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{Advice, fadvise};

/// The list of files, below the system image's mount point.
const LIST: &str = "lib/coracle/prefetch";

/// How much is asked for at once; the thread can end between two of these.
const STEP: u64 = 1 << 20;

/// No more than this share of the memory that is available.
const SHARE: u64 = 3;

/// Starts reading the listed files of the system image at `system`, on a thread of its own. Small machines are left alone: they need
/// the memory for other pages. Nothing is reported; what was not read ahead is read when it is needed.
pub fn start(system: &Path) {
    let system = system.to_owned();
    // Without a thread the boot is slower, no more.
    let _ = thread::Builder::new()
        .name("prefetch".into())
        .spawn(move || read(&system));
}

fn read(system: &Path) {
    let Ok(list) = fs::read_to_string(system.join(LIST)) else {
        return;
    };
    let files: Vec<(File, u64)> = paths(&list, system)
        .filter_map(|path| File::open(path).ok())
        .filter_map(|file| Some((file.metadata().ok()?.len(), file)))
        .map(|(size, file)| (file, size))
        .collect();
    let total = files.iter().map(|(_, size)| size).sum();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    if !fits(total, &memory) {
        return;
    }
    for (file, size) in files {
        for offset in (0..size).step_by(STEP as usize) {
            // Advice only.
            let _ = fadvise(&file, offset, NonZeroU64::new(STEP), Advice::WillNeed);
        }
    }
}

/// The paths of a list with comments.
fn paths(list: &str, system: &Path) -> impl Iterator<Item = PathBuf> {
    list.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| system.join(line))
}

/// Whether reading this many bytes leaves enough memory; `meminfo` is the text of `/proc/meminfo`.
fn fits(bytes: u64, meminfo: &str) -> bool {
    let available = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|value| value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    available.is_some_and(|kib| bytes <= kib.saturating_mul(1024) / SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_empty_lines_are_no_paths() {
        let list = "# hot\nbin/a\n\n  bin/b  \n";
        let found: Vec<PathBuf> = paths(list, Path::new("/usr")).collect();
        assert_eq!(found, [Path::new("/usr/bin/a"), Path::new("/usr/bin/b")]);
    }

    #[test]
    fn a_third_of_the_available_memory_may_be_filled() {
        let of = |kib: u64| format!("MemTotal: 9 kB\nMemAvailable:   {kib} kB\nBuffers: 1 kB\n");
        for (bytes, meminfo, expected) in [
            (1024, of(3), true),
            (1025, of(3), false),
            (124_000_000, of(440_000), true),
            (124_000_000, of(300_000), false),
            (1, String::new(), false),
        ] {
            assert_eq!(fits(bytes, &meminfo), expected, "{bytes} of {meminfo:?}");
        }
    }
}
