//! Options of the local volume driver: what is mounted where a volume's files are (`type`, `o` and `device`, as for
//! mount(8)).

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::net::ToSocketAddrs;
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_remount};

use crate::error::{Error, Result};

/// Checks the options of a new volume.
///
/// # Errors
/// Docker's texts, without the volume's name.
pub fn validate(options: &BTreeMap<String, String>) -> Result<(), String> {
    for option in options.keys() {
        match option.as_str() {
            "type" | "o" | "device" => {}
            "size" => return Err("quota size requested but no quota support".to_owned()),
            other => return Err(format!("invalid option: \"{other}\"")),
        }
    }
    for (option, needed) in [
        ("device", &["type"][..]),
        ("o", &["device", "type"]),
        ("type", &["device"]),
    ] {
        let missing = needed.iter().find(|name| !options.contains_key(**name));
        if let Some(missing) = missing.filter(|_| options.contains_key(option)) {
            return Err(format!("missing required option: \"{missing}\""));
        }
    }
    Ok(())
}

/// The words of `o` that are flags; all others are for the file system.
#[derive(Debug, Eq, PartialEq)]
struct Words {
    flags: MountFlags,
    propagation: Option<MountPropagationFlags>,
    data: Vec<String>,
}

impl Words {
    fn parse(text: &str) -> Self {
        use MountPropagationFlags as Propagation;
        let mut words = Self {
            flags: MountFlags::empty(),
            propagation: None,
            data: Vec::new(),
        };
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let (flag, on) = match word {
                "defaults" => continue,
                "ro" => (MountFlags::RDONLY, true),
                "rw" => (MountFlags::RDONLY, false),
                "nosuid" => (MountFlags::NOSUID, true),
                "suid" => (MountFlags::NOSUID, false),
                "nodev" => (MountFlags::NODEV, true),
                "dev" => (MountFlags::NODEV, false),
                "noexec" => (MountFlags::NOEXEC, true),
                "exec" => (MountFlags::NOEXEC, false),
                "sync" => (MountFlags::SYNCHRONOUS, true),
                "async" => (MountFlags::SYNCHRONOUS, false),
                "dirsync" => (MountFlags::DIRSYNC, true),
                "noatime" => (MountFlags::NOATIME, true),
                "atime" => (MountFlags::NOATIME, false),
                "nodiratime" => (MountFlags::NODIRATIME, true),
                "diratime" => (MountFlags::NODIRATIME, false),
                "relatime" => (MountFlags::RELATIME, true),
                "norelatime" => (MountFlags::RELATIME, false),
                "strictatime" => (MountFlags::STRICTATIME, true),
                "bind" => (MountFlags::BIND, true),
                "rbind" => (MountFlags::BIND | MountFlags::REC, true),
                _ => {
                    let all = Propagation::REC;
                    let propagation = match word {
                        "private" => Propagation::PRIVATE,
                        "rprivate" => Propagation::PRIVATE | all,
                        "shared" => Propagation::SHARED,
                        "rshared" => Propagation::SHARED | all,
                        "slave" => Propagation::DOWNSTREAM,
                        "rslave" => Propagation::DOWNSTREAM | all,
                        "unbindable" => Propagation::UNBINDABLE,
                        other => {
                            words.data.push(other.to_owned());
                            continue;
                        }
                    };
                    words.propagation = Some(propagation);
                    continue;
                }
            };
            words.flags.set(flag, on);
        }
        words
    }
}

/// Mounts what the options say on `target`. Blocks, for network file systems as long as their servers let it.
///
/// # Errors
/// Docker's texts.
pub fn mount_on(target: &Path, options: &BTreeMap<String, String>) -> Result<()> {
    let option = |name: &str| options.get(name).map_or("", String::as_str);
    let (kind, device) = (option("type"), option("device"));
    let mut words = Words::parse(option("o"));
    if matches!(kind, "nfs" | "nfs3" | "nfs4" | "cifs" | "smb3") {
        resolve(&mut words.data)?;
    }
    let data = words.data.join(",");
    let failed = |error: io::Error| {
        Error::Internal(format!(
            "error while mounting volume '{0}': failed to mount local volume: mount {device}:{0}, flags: {1:#x}, data: \
             {data}: {2}",
            target.display(),
            words.flags.bits(),
            rustix::io::Errno::from_io_error(&error).map_or(error.to_string(), |errno| {
                io::Error::from(errno).to_string()
            }),
        ))
    };
    let nul = |_| failed(io::ErrorKind::InvalidInput.into());
    let text = CString::new(data.clone()).map_err(nul)?;
    let text = (!data.is_empty()).then_some(text.as_c_str());
    mount(device, target, kind, words.flags, text).map_err(|error| failed(error.into()))?;
    let settings = words.flags - MountFlags::BIND - MountFlags::REC;
    let undo = |error: rustix::io::Errno| {
        crate::rootfs::detach(target);
        failed(error.into())
    };
    // The kernel takes a bind's other flags in a second step only.
    if words.flags.contains(MountFlags::BIND) && !settings.is_empty() {
        mount_remount(target, MountFlags::BIND | settings, c"").map_err(undo)?;
    }
    if let Some(propagation) = words.propagation {
        mount_change(target, propagation).map_err(undo)?;
    }
    Ok(())
}

/// The kernel wants the address of a server, not its name.
fn resolve(data: &mut [String]) -> Result<()> {
    for word in data {
        if let Some(host) = word.strip_prefix("addr=") {
            let mut found = (host, 0).to_socket_addrs().map_err(|error| {
                Error::Internal(format!(
                    "error resolving passed in network volume address: {host}: {error}"
                ))
            })?;
            if let Some(address) = found.next() {
                *word = format!("addr={}", address.ip());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }

    #[test]
    fn options_are_complete_or_refused_in_dockers_words() {
        for (options, expected) in [
            (&[][..], Ok(())),
            (
                &[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")],
                Ok(()),
            ),
            (&[("type", "none"), ("device", "/x")], Ok(())),
            (
                &[("type", "tmpfs")],
                Err("missing required option: \"device\""),
            ),
            (
                &[("device", "/x")],
                Err("missing required option: \"type\""),
            ),
            (
                &[("o", "bind"), ("type", "none")],
                Err("missing required option: \"device\""),
            ),
            (
                &[("size", "1g")],
                Err("quota size requested but no quota support"),
            ),
            (&[("color", "red")], Err("invalid option: \"color\"")),
        ] {
            assert_eq!(
                validate(&map(options)),
                expected.map_err(str::to_owned),
                "{options:?}"
            );
        }
    }

    #[test]
    fn words_are_flags_propagation_and_data() {
        assert_eq!(
            Words::parse("rbind,ro,nosuid,suid,rshared"),
            Words {
                flags: MountFlags::BIND | MountFlags::REC | MountFlags::RDONLY,
                propagation: Some(MountPropagationFlags::SHARED | MountPropagationFlags::REC),
                data: vec![],
            }
        );
        assert_eq!(
            Words::parse("defaults,addr=10.0.0.1,noatime,vers=4"),
            Words {
                flags: MountFlags::NOATIME,
                propagation: None,
                data: vec!["addr=10.0.0.1".into(), "vers=4".into()],
            }
        );
    }

    #[test]
    fn addresses_are_numbers() {
        let mut data = vec!["vers=4".to_owned(), "addr=localhost".into()];
        resolve(&mut data).unwrap();
        assert!(
            matches!(data[1].as_str(), "addr=127.0.0.1" | "addr=::1"),
            "{data:?}"
        );
    }
}
