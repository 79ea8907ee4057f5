//! `/etc/resolv.conf` (inventory B5-003, H1-015, H1-016).

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;

/// glibc reads three servers and ignores more (resolv.conf(5), MAXNS).
const MOST_NAMESERVERS: usize = 3;

/// Text of the file for these servers and search domains; doubles are dropped.
pub fn render(nameservers: &[IpAddr], search: &[String]) -> String {
    let mut text =
        String::from("# Written by the network service; set rancher.network.dns to change it.\n");
    if !search.is_empty() {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    let mut written: Vec<IpAddr> = Vec::new();
    for server in nameservers {
        if written.len() < MOST_NAMESERVERS && !written.contains(server) {
            written.push(*server);
            text.push_str(&format!("nameserver {server}\n"));
        }
    }
    text
}

/// Puts `text` into the file without replacing its inode: the file is bind-mounted into containers, which would keep the old
/// one. Nothing is written when the content is the same. Returns whether it changed.
///
/// # Errors
/// The file cannot be opened or written.
pub fn write_in_place(path: &Path, text: &str) -> io::Result<bool> {
    if std::fs::read_to_string(path).is_ok_and(|current| current == text) {
        return Ok(false);
    }
    // Written over first and cut afterwards, so that a reader never meets an empty file.
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_domains_without_doubles() {
        let servers = ["10.0.2.3", "10.0.2.3", "fd00::3", "1.1.1.1", "9.9.9.9"]
            .map(|text| text.parse().unwrap());
        assert_eq!(
            render(&servers, &["a.example".to_owned(), "b.example".to_owned()]),
            "# Written by the network service; set rancher.network.dns to change it.\n\
             search a.example b.example\n\
             nameserver 10.0.2.3\n\
             nameserver fd00::3\n\
             nameserver 1.1.1.1\n"
        );
    }

    #[test]
    fn the_inode_stays() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        assert!(write_in_place(&path, "a longer first text\n").unwrap());
        let inode = std::fs::metadata(&path).unwrap().ino();
        assert!(write_in_place(&path, "short\n").unwrap());
        assert!(!write_in_place(&path, "short\n").unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "short\n");
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
    }
}
