//! The host name: from DHCP when none is configured (inventory H1-007, I1-006).

use std::path::Path;

/// Whether a name from the network may become the host's: letters, digits, hyphens and dots, at most 63 bytes
/// (RFC 1123; the kernel's limit is 64), and not what a DHCP server sends for want of a name.
pub fn acceptable(name: &str) -> bool {
    let label_ok = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.len() <= 63 && name != "localhost" && name.split('.').all(label_ok)
}

/// The running kernel's host name.
pub fn current() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// `/etc/hosts` with the machine's own line (127.0.1.1, inventory A3-016) naming `name`; other lines stay as they are.
pub fn hosts_with(name: &str, hosts: &str) -> String {
    let own_line = match name.split_once('.') {
        Some((short, _)) => format!("127.0.1.1\t{name} {short}"),
        None => format!("127.0.1.1\t{name}"),
    };
    let mut lines: Vec<&str> = hosts.lines().collect();
    let is_own = |line: &&str| line.split_whitespace().next() == Some("127.0.1.1");
    match lines.iter().position(is_own) {
        Some(index) => lines[index] = &own_line,
        None => {
            let after_localhost = lines
                .iter()
                .position(|line| line.starts_with("127.0.0.1"))
                .map_or(0, |index| index + 1);
            lines.insert(after_localhost, &own_line);
        }
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// Makes `name` the host name, in the kernel and in `etc/hostname` and `etc/hosts` (written in place: bind-mounted files).
///
/// # Errors
/// The kernel refuses (no CAP_SYS_ADMIN in the UTS namespace) or a file cannot be written.
pub fn set(name: &str, etc: &Path) -> std::io::Result<()> {
    rustix::system::sethostname(name.as_bytes())?;
    crate::resolv_conf::write_in_place(&etc.join("hostname"), &format!("{name}\n"))?;
    let hosts = etc.join("hosts");
    if let Ok(text) = std::fs::read_to_string(&hosts) {
        crate::resolv_conf::write_in_place(&hosts, &hosts_with(name, &text))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_come_from_the_network() {
        let table = [
            ("node1", true),
            ("node-1.example.org", true),
            ("localhost", false),
            ("", false),
            ("-a", false),
            ("a b", false),
            ("a;reboot", false),
            ("a..b", false),
        ];
        for (name, expected) in table {
            assert_eq!(acceptable(name), expected, "{name:?}");
        }
        assert!(!acceptable(&"a".repeat(64)));
    }

    #[test]
    fn own_line_of_hosts_is_replaced_or_added() {
        let table = [
            (
                "127.0.0.1 localhost\n127.0.1.1 old\n::1 ip6-localhost\n",
                "127.0.0.1 localhost\n127.0.1.1\tnode.example node\n::1 ip6-localhost\n",
            ),
            (
                "127.0.0.1 localhost\n::1 ip6-localhost\n",
                "127.0.0.1 localhost\n127.0.1.1\tnode.example node\n::1 ip6-localhost\n",
            ),
            ("", "127.0.1.1\tnode.example node\n"),
        ];
        for (before, after) in table {
            assert_eq!(hosts_with("node.example", before), after);
        }
    }
}
