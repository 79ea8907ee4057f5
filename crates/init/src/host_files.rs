//! The machine's name, and the files in `/etc` that belong to it (inventory A3-013 to A3-018).

use std::fs;
use std::path::Path;

use crate::Error;

/// Users and groups that the labels, sockets and files of the host name (inventory Z-007).
const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/false
rancher:x:1100:1100:rancher:/home/rancher:/bin/false
docker:x:1101:1101:docker:/home/docker:/bin/false
";
const GROUP: &str = "\
root:x:0:
tty:x:5:
disk:x:6:
sudo:x:27:rancher
rancher:x:1100:
docker:x:1101:rancher
";

/// JSON files that a power cut may have left empty: an engine refuses to start with them (A3-014).
const FRAGILE: [&str; 4] = [
    "/etc/docker/key.json",
    "/etc/docker/daemon.json",
    "/etc/docker/system-daemon.json",
    "/etc/docker/system-docker.json",
];

/// Sets the host name and writes `/etc`. Name resolution starts empty; the network service fills it.
///
/// # Errors
/// When the name is refused, or a file cannot be written.
pub fn write(hostname: &str) -> Result<(), Error> {
    rustix::system::sethostname(hostname.as_bytes()).map_err(|errno| Error::HostName {
        name: hostname.to_owned(),
        source: errno.into(),
    })?;
    let etc = Path::new("/etc");
    for (name, text) in [
        ("hostname", format!("{hostname}\n")),
        ("hosts", hosts(hostname)),
        ("passwd", PASSWD.to_owned()),
        ("group", GROUP.to_owned()),
        ("resolv.conf", String::new()),
        ("nsswitch.conf", "hosts: files dns\n".to_owned()),
    ] {
        let path = etc.join(name);
        fs::write(&path, text).map_err(Error::io("write", &path))?;
    }
    for path in FRAGILE.map(Path::new) {
        if fs::metadata(path).is_ok_and(|metadata| metadata.len() < 2) {
            fs::remove_file(path).map_err(Error::io("remove", path))?;
        }
    }
    Ok(())
}

/// `/etc/hosts` (A3-016).
fn hosts(hostname: &str) -> String {
    format!(
        "127.0.0.1\tlocalhost\n127.0.1.1\t{hostname}\n\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_names_the_machine() {
        assert_eq!(
            hosts("coracle"),
            "127.0.0.1\tlocalhost\n127.0.1.1\tcoracle\n\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
             ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
        );
    }
}
