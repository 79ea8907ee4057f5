//! What differs from engine to engine and from run to run.

use coracle_testkit::transcript;

/// `text` with ids, times and addresses replaced by words, and columns separated by two spaces.
pub fn mask(text: &str) -> String {
    let text = text
        .replace(['\r', '\0'], "")
        // Programs between dockerd and the kernel that System Docker does not have.
        .replace("failed to create shim task: ", "")
        .replace("runc create failed: ", "")
        // Which of a port's two addresses dockerd asks for first differs from run to run.
        .replace("Bind for :::", "Bind for 0.0.0.0:");
    let mut masked = String::new();
    for line in transcript::mask(&text).lines() {
        masked.push_str(&addresses(&transcript::squeeze(line)));
        masked.push('\n');
    }
    masked
}

/// Replaces IPv4 addresses that are not loopback's or any's, and MAC addresses.
fn addresses(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':')))
            .unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        out.push_str(&address(word));
        let mut characters = tail.chars();
        out.extend(characters.next());
        rest = characters.as_str();
    }
    out
}

fn address(word: &str) -> String {
    let octets: Vec<&str> = word.split(':').collect();
    if octets.len() == 6 && octets.iter().all(|octet| octet.len() == 2) {
        return "<mac>".to_owned();
    }
    // `172.17.0.2:` before a port or at the end of a phrase.
    let (host, port) = word.split_once(':').unwrap_or((word, ""));
    let numbers: Vec<&str> = host.split('.').collect();
    let is_address =
        numbers.len() == 4 && numbers.iter().all(|number| number.parse::<u8>().is_ok());
    if !is_address || host.starts_with("127.") || host == "0.0.0.0" {
        return word.to_owned();
    }
    let mut masked = "<address>".to_owned();
    if word.contains(':') {
        masked.push(':');
        masked.push_str(port);
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_engines_choose_are_masked() {
        for (text, expected) in [
            ("Address: 172.17.0.2\n", "Address: <address>\n"),
            ("172.17.0.2/16 up\n", "<address>/16 up\n"),
            (
                "from 10.0.0.3:80, 10.0.0.4: seq=0\n",
                "from <address>:80, <address>: seq=0\n",
            ),
            ("127.0.0.1:80 0.0.0.0:81\n", "127.0.0.1:80 0.0.0.0:81\n"),
            ("mac 02:42:ac:11:00:02\n", "mac <mac>\n"),
            ("v1.2.3 at 12:00\n", "v1.2.3 at 12:00\n"),
            ("1.2.3.4.5\n", "1.2.3.4.5\n"),
            ("NAME      ID\r\n", "NAME  ID\n"),
            ("id 0123456789ab\n", "id <id>\n"),
            (
                "Bind for :::80 failed: port is already allocated\n",
                "Bind for 0.0.0.0:80 failed: port is already allocated\n",
            ),
            (
                "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: why\n",
                "failed to create task for container: OCI runtime create failed: why\n",
            ),
        ] {
            assert_eq!(mask(text), expected);
        }
    }
}
