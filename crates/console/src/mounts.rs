//! `mounts` of cloud-config: `[device, mount point, type, options]` (inventory B2-011, H2-001). mount(8) does the work: it
//! knows labels, network file systems and their helpers.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::Error;

/// The command that makes one entry true.
///
/// # Errors
/// The entry has not four fields, or no device or mount point.
pub fn command(entry: &[String]) -> Result<Vec<String>, Error> {
    let fault = |message: &str| Error::Config {
        key: format!("mounts[{}]", entry.join(", ")),
        message: message.to_owned(),
    };
    let [device, target, kind, options] = entry else {
        return Err(fault(
            "needs four fields: device, mount point, type, options",
        ));
    };
    if device.is_empty() {
        return Err(fault("has no device"));
    }
    if kind == "swap" {
        return Ok(vec!["swapon".to_owned(), device.clone()]);
    }
    if !target.starts_with('/') {
        return Err(fault("has no absolute mount point"));
    }
    let mut words = vec!["mount".to_owned()];
    if !matches!(kind.as_str(), "" | "auto" | "none" | "bind") {
        words.extend(["-t".to_owned(), kind.clone()]);
    }
    let mut options: Vec<&str> = options
        .split(',')
        .filter(|option| !matches!(*option, "" | "defaults"))
        .collect();
    if kind == "bind" && !options.contains(&"bind") {
        options.insert(0, "bind");
    }
    if !options.is_empty() {
        words.extend(["-o".to_owned(), options.join(",")]);
    }
    words.extend([device.clone(), target.clone()]);
    Ok(words)
}

/// Mounts one entry, unless something is mounted there already (the console was restarted).
///
/// # Errors
/// The entry is wrong, or the program fails.
pub fn mount(entry: &[String]) -> Result<(), Error> {
    let words = command(entry)?;
    let target = words.last().map_or("", String::as_str);
    if words[0] == "mount" {
        if is_mount_point(Path::new(target)) {
            return Ok(());
        }
        std::fs::create_dir_all(target).map_err(Error::file("create", Path::new(target)))?;
    } else if swap_is_on(target) {
        return Ok(());
    }
    let output = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| Error::Start {
            program: words[0].clone(),
            cause,
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        program: words.join(" "),
        status: output.status,
        message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn is_mount_point(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(4).map(Path::new) == Some(path))
}

fn swap_is_on(device: &str) -> bool {
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    let device = std::fs::canonicalize(device).unwrap_or_else(|_| device.into());
    swaps
        .lines()
        .any(|line| line.split_whitespace().next().map(Path::new) == Some(&device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_become_commands() {
        let table: [([&str; 4], Result<&str, &str>); 8] = [
            (
                ["/dev/vdb", "/mnt/s", "ext4", ""],
                Ok("mount -t ext4 /dev/vdb /mnt/s"),
            ),
            (
                ["LABEL=x", "/mnt/s", "auto", "defaults"],
                Ok("mount LABEL=x /mnt/s"),
            ),
            (
                ["/dev/vdb", "/mnt/s", "", "ro,noatime"],
                Ok("mount -o ro,noatime /dev/vdb /mnt/s"),
            ),
            (["/a", "/b", "bind", ""], Ok("mount -o bind /a /b")),
            (
                ["/a", "/b", "none", "bind,ro"],
                Ok("mount -o bind,ro /a /b"),
            ),
            (
                ["nas:/x", "/mnt/n", "nfs", "nolock"],
                Ok("mount -t nfs -o nolock nas:/x /mnt/n"),
            ),
            (["/dev/vdc", "", "swap", ""], Ok("swapon /dev/vdc")),
            (
                ["/dev/vdc", "mnt", "ext4", ""],
                Err("mounts[/dev/vdc, mnt, ext4, ]: has no absolute mount point"),
            ),
        ];
        for (entry, expected) in table {
            let entry: Vec<String> = entry.iter().map(|text| (*text).to_owned()).collect();
            let got = command(&entry)
                .map(|words| words.join(" "))
                .map_err(|error| error.to_string());
            assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned));
        }
        let error = command(&["/dev/vdb".to_owned()]).unwrap_err().to_string();
        assert_eq!(
            error,
            "mounts[/dev/vdb]: needs four fields: device, mount point, type, options"
        );
    }
}
