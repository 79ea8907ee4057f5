//! Which terminals get a login prompt, and `/etc/respawn.conf` (inventory A7-012, A9-005, A9-034).

use coracle_config::Config;

/// This binary inside the console; by its own path, so that console images need no symlinks for the roles.
pub const CORACLE: &str = "/usr/bin/coracle";

/// The terminals of the kernel's consoles. `active` is `/sys/class/tty/console/active`: what `console=` named, or the
/// kernel's default. `tty0` is whichever virtual terminal is in front; logins are on `tty1`, and on `tty2` for when the first is busy.
pub fn terminals(active: &str) -> Vec<String> {
    let mut terminals: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !terminals.iter().any(|known| known == name) {
            terminals.push(name.to_owned());
        }
    };
    for console in active.split_whitespace() {
        match console {
            "tty0" => ["tty1", "tty2"].into_iter().for_each(&mut add),
            // Output only; there is nothing to type on.
            name if name.starts_with("netcon") || name == "ttynull" => {}
            name => add(name),
        }
    }
    if terminals.is_empty() {
        terminals.push("tty1".to_owned());
    }
    terminals
}

/// The text of `/etc/respawn.conf`: a login per terminal, sshd unless it is turned off, then the lines of
/// `/etc/respawn.conf.d/*` (`extra`, each file's text).
pub fn respawn_conf(config: &Config, active: &str, extra: &[String]) -> String {
    let mut text =
        String::from("# Written when the console starts; add lines in /etc/respawn.conf.d/.\n");
    for terminal in terminals(active) {
        let role = match config.autologin(&terminal) {
            true => "autologin",
            false => "getty",
        };
        text.push_str(&format!("{CORACLE} {role} {terminal}\n"));
    }
    if config.ssh_daemon() {
        text.push_str(&format!("{CORACLE} console-sshd\n"));
    }
    for lines in extra {
        text.push_str(lines.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kernel_consoles_become_terminals() {
        let table = [
            ("tty0 ttyS0\n", vec!["tty1", "tty2", "ttyS0"]),
            ("ttyS0\n", vec!["ttyS0"]),
            ("tty0", vec!["tty1", "tty2"]),
            ("netcon0 ttyAMA0 ttyAMA0", vec!["ttyAMA0"]),
            ("hvc0 tty1", vec!["hvc0", "tty1"]),
            ("", vec!["tty1"]),
        ];
        for (active, expected) in table {
            assert_eq!(terminals(active), expected, "{active:?}");
        }
    }

    #[test]
    fn respawn_conf_has_logins_sshd_and_the_users_lines() {
        let config = json!({"rancher": {"autologin": ["ttyS0"]}});
        let config: Config = serde_json::from_value(config).unwrap();
        assert_eq!(
            respawn_conf(
                &config,
                "tty0 ttyS0",
                &["/usr/bin/mine --daemon".to_owned()]
            ),
            "# Written when the console starts; add lines in /etc/respawn.conf.d/.\n\
             /usr/bin/coracle getty tty1\n\
             /usr/bin/coracle getty tty2\n\
             /usr/bin/coracle autologin ttyS0\n\
             /usr/bin/coracle console-sshd\n\
             /usr/bin/mine --daemon\n"
        );
        let config = json!({"rancher": {"ssh": {"daemon": false}}});
        let config: Config = serde_json::from_value(config).unwrap();
        assert_eq!(
            respawn_conf(&config, "ttyS0", &[]),
            "# Written when the console starts; add lines in /etc/respawn.conf.d/.\n\
             /usr/bin/coracle getty ttyS0\n"
        );
    }
}
