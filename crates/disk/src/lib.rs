//! Disks: which block devices there are, what is on them, and which of them a configuration means.
//!
//! Superblocks are read by ourselves: no udev, no blkid and no program runs while the machine looks for its root.
//!
//! * [`probe`] tells what a device or image holds; it takes anything that is [`ReadAt`].
//! * [`DeviceSpec`] is `LABEL=…`, `UUID=…`, `PARTLABEL=…`, `PARTUUID=…` or a path; [`find`] resolves it.
//! * [`Contents::of`] says whether a disk may be formatted (inventory A4-012).

mod blank;
mod block;
mod erofs;
mod ext;
mod fat;
mod filesystem;
mod iso9660;
mod ninep;
mod other;
mod partition;
mod read;
mod spec;
mod uuid;

pub use blank::{BOOT2DOCKER_MAGIC, Contents};
pub use block::{BlockDevice, block_device, block_devices};
pub use erofs::{ErofsSuperblock, erofs_superblock};
pub use ext::{ExtState, ext_state};
pub use filesystem::{Filesystem, Kind, probe};
pub use ninep::ninep_tags;
pub use partition::{Partition, Scheme, Table, partition_table};
pub use read::ReadAt;
pub use spec::{DeviceSpec, find};
pub use uuid::Uuid;

/// Why a disk could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error("cannot read {what}: {source}")]
    Read {
        /// The device or file.
        what: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// A device was described in a way that means nothing.
    #[error(
        "{0:?} names no device: write LABEL=name, UUID=…, PARTLABEL=name, PARTUUID=… or a path such as /dev/vda"
    )]
    Spec(String),
}
