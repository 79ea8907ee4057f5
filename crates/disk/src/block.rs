//! Block devices as sysfs shows them (kernel: Documentation/ABI/stable/sysfs-block).

use std::fs;
use std::path::{Path, PathBuf};

use crate::partition::{Table, partition_table};

/// A disk or partition that holds something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// Its name, such as `vda1`.
    pub name: String,
    /// Its node, such as `/dev/vda1`.
    pub node: PathBuf,
    /// Size in bytes; 0 for a drive without a medium.
    pub size: u64,
    /// The disk and number, for a partition.
    pub partition_of: Option<(String, u32)>,
    /// Whether the kernel refuses writes.
    pub read_only: bool,
}

impl BlockDevice {
    /// The name and identifier that the partition table gives this partition: `PARTLABEL=` and `PARTUUID=`.
    #[must_use]
    pub fn partition_names(&self) -> (Option<String>, Option<String>) {
        let Some((disk, number)) = &self.partition_of else {
            return (None, None);
        };
        let table: Option<Table> = fs::File::open(Path::new("/dev").join(disk.replace('!', "/")))
            .ok()
            .and_then(|file| partition_table(&file, logical_sector(disk)).ok().flatten());
        let partition =
            table.and_then(|table| table.partitions.into_iter().find(|p| p.number == *number));
        partition.map_or((None, None), |p| (p.label, p.uuid))
    }
}

/// Every block device with a medium, by name. RAM disks and unused loop devices are left out.
#[must_use]
pub fn block_devices() -> Vec<BlockDevice> {
    list(Path::new("/sys"))
}

/// One block device by its name (`vda1`), or `None` when there is none.
#[must_use]
pub fn block_device(name: &str) -> Option<BlockDevice> {
    read(Path::new("/sys"), name)
}

fn list(sysfs: &Path) -> Vec<BlockDevice> {
    let Ok(entries) = fs::read_dir(sysfs.join("class/block")) else {
        return Vec::new();
    };
    let mut devices: Vec<_> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with("ram"))
        .filter_map(|name| read(sysfs, &name))
        .filter(|device| device.size > 0)
        .collect();
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    devices
}

fn read(sysfs: &Path, name: &str) -> Option<BlockDevice> {
    let link = sysfs.join("class/block").join(name);
    let directory = fs::canonicalize(&link).ok()?;
    let number = |file: &str| {
        fs::read_to_string(directory.join(file))
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
    };
    let partition = number("partition").and_then(|n| u32::try_from(n).ok());
    let disk = directory
        .parent()
        .and_then(Path::file_name)
        .and_then(|disk| disk.to_str())
        .map(str::to_owned);
    Some(BlockDevice {
        name: name.to_owned(),
        // sysfs writes the slash of names such as cciss/c0d0 as an exclamation mark.
        node: Path::new("/dev").join(name.replace('!', "/")),
        // Always in units of 512 bytes, whatever the sector size.
        size: number("size")? * 512,
        partition_of: partition.and_then(|number| Some((disk?, number))),
        read_only: number("ro") == Some(1),
    })
}

fn logical_sector(disk: &str) -> u64 {
    fs::read_to_string(format!("/sys/class/block/{disk}/queue/logical_block_size"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(512)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn disks_and_partitions_as_sysfs_shows_them() {
        let sys = tempfile::tempdir().unwrap();
        let make = |path: &str, name: &str, files: &[(&str, &str)]| {
            let directory = sys.path().join("devices").join(path);
            fs::create_dir_all(&directory).unwrap();
            for (file, text) in files {
                fs::write(directory.join(file), text).unwrap();
            }
            let class = sys.path().join("class/block");
            fs::create_dir_all(&class).unwrap();
            symlink(directory, class.join(name)).unwrap();
        };
        make("vda", "vda", &[("size", "2048\n"), ("ro", "0\n")]);
        make(
            "vda/vda1",
            "vda1",
            &[("size", "1024\n"), ("ro", "1\n"), ("partition", "1\n")],
        );
        make("ram0", "ram0", &[("size", "1024\n")]);
        make("loop0", "loop0", &[("size", "0\n")]);
        make("cciss!c0d0", "cciss!c0d0", &[("size", "8\n")]);
        let device = |name: &str, node: &str, size, partition_of, read_only| BlockDevice {
            name: name.into(),
            node: node.into(),
            size,
            partition_of,
            read_only,
        };
        assert_eq!(
            list(sys.path()),
            [
                device("cciss!c0d0", "/dev/cciss/c0d0", 4096, None, false),
                device("vda", "/dev/vda", 1 << 20, None, false),
                device("vda1", "/dev/vda1", 1 << 19, Some(("vda".into(), 1)), true),
            ]
        );
    }
}
