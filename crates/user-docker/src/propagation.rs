//! Mount propagation, on which live-restore rests: a restarted engine must see the mounts of containers that the one before
//! it has made, so these must have been shared with the host (mount_namespaces(7)).

use rustix::mount::{MountPropagationFlags, mount_change};

use crate::error::Error;

/// Whether the mount that holds `path` is shared, from the text of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
pub fn is_shared(mountinfo: &str, path: &str) -> bool {
    let mut best: Option<(usize, bool)> = None;
    for line in mountinfo.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let (Some(point), Some(optional)) = (fields.get(4), fields.get(6..)) else {
            continue;
        };
        let holds = *point == "/"
            || path
                .strip_prefix(point)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let shared = optional
            .iter()
            .take_while(|field| **field != "-")
            .any(|field| field.starts_with("shared:"));
        // Of mounts on the same point the last one is on top.
        if holds && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), shared));
        }
    }
    best.is_some_and(|(_, shared)| shared)
}

/// Makes every mount of the container shared (A7-027), so that `docker run -v /path:/path:shared` is possible.
///
/// # Errors
/// The container is not privileged.
pub fn share_all() -> Result<(), Error> {
    mount_change(
        "/",
        MountPropagationFlags::SHARED | MountPropagationFlags::REC,
    )
    .map_err(Error::system("make the mounts shared"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_that_holds_the_path_decides() {
        let mountinfo = "\
            20 1 0:20 / / rw - overlay overlay rw\n\
            21 20 0:21 / /run rw,nosuid shared:5 - tmpfs tmpfs rw\n\
            22 20 8:1 /user-docker /var/lib/docker rw shared:7 master:3 - ext4 /dev/vda rw\n\
            23 20 8:1 /home /home rw master:3 - ext4 /dev/vda rw\n\
            24 23 0:24 / /home/a rw shared:9 - tmpfs tmpfs rw\n\
            25 23 0:25 / /home/a rw - tmpfs tmpfs rw\n";
        let table = [
            ("/var/lib/docker", true),
            ("/var/lib/docker/overlay2", true),
            ("/var/lib/docker-other", false),
            ("/run/containerd", true),
            ("/home/b", false),
            ("/home/a/x", false),
            ("/etc", false),
        ];
        for (path, expected) in table {
            assert_eq!(is_shared(mountinfo, path), expected, "{path}");
        }
    }
}
