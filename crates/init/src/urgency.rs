//! Which drivers to load first.

/// How soon the driver of a device is needed. The earlier is the more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Disks that answer at once: virtio, NVMe, Xen. The system is usually on one, and then the others need not be waited for.
    FastDisk,
    /// All other disks, and what they are attached to.
    Disk,
    /// USB and memory card controllers, behind which disks may be.
    Usb,
    /// Network interfaces.
    Network,
    /// Everything else.
    Rest,
}

impl Urgency {
    /// The urgency of a device, from its modalias (kernel: scripts/mod/file2alias.c; PCI classes: include/linux/pci_ids.h).
    #[must_use]
    pub fn of(modalias: &str) -> Self {
        let (bus, rest) = modalias.split_once(':').unwrap_or((modalias, ""));
        match bus {
            "virtio" => match rest.get(..9) {
                Some("d00000002") => Self::FastDisk,
                Some("d00000008") => Self::Disk,
                Some("d00000001") => Self::Network,
                _ => Self::Rest,
            },
            "pci" => match class(rest) {
                Some(("01", "08")) => Self::FastDisk,
                Some(("01", _)) => Self::Disk,
                Some(("0C", "03") | ("08", "05")) => Self::Usb,
                Some(("02", _)) => Self::Network,
                _ => Self::Rest,
            },
            "xen" if rest.starts_with("vbd") => Self::FastDisk,
            "xen" if rest.starts_with("vif") => Self::Network,
            // Hyper-V tells devices apart by UUIDs only; disks are among the few.
            "vmbus" | "scsi" | "mmc" | "nd" => Self::Disk,
            // Interfaces of class mass storage.
            "usb" if rest.contains("ic08") => Self::Disk,
            _ => Self::Rest,
        }
    }
}

/// Class and subclass of a PCI device: `…bc01sc06i01`.
fn class(rest: &str) -> Option<(&str, &str)> {
    let at = rest.rfind("bc")?;
    Some((rest.get(at + 2..at + 4)?, rest.get(at + 6..at + 8)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_by_their_modalias() {
        for (modalias, want) in [
            ("virtio:d00000002v00001AF4", Urgency::FastDisk),
            ("virtio:d00000008v00001AF4", Urgency::Disk),
            ("virtio:d00000001v00001AF4", Urgency::Network),
            ("virtio:d00000004v00001AF4", Urgency::Rest),
            (
                "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02",
                Urgency::FastDisk,
            ),
            (
                "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01",
                Urgency::Disk,
            ),
            (
                "pci:v00001B36d0000000Dsv00001AF4sd00001100bc0Csc03i30",
                Urgency::Usb,
            ),
            (
                "pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00",
                Urgency::Network,
            ),
            (
                "pci:v00001234d00001111sv00001AF4sd00001100bc03sc00i00",
                Urgency::Rest,
            ),
            (
                "usb:v0781p5583d0100dc00dsc00dp00ic08isc06ip50in00",
                Urgency::Disk,
            ),
            (
                "usb:v0627p0001d0000dc00dsc00dp00ic03isc01ip02in00",
                Urgency::Rest,
            ),
            ("scsi:t-0x05", Urgency::Disk),
            ("xen:vbd", Urgency::FastDisk),
            ("acpi:PNP0C0A:", Urgency::Rest),
            ("pci:", Urgency::Rest),
            ("", Urgency::Rest),
        ] {
            assert_eq!(Urgency::of(modalias), want, "{modalias}");
        }
    }
}
