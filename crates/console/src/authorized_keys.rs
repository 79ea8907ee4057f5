//! `~/.ssh/authorized_keys` of the login users (inventory B2-002, A7-018, I1-038).

use std::path::Path;

use crate::account;
use crate::error::Error;
use crate::file;

/// `current` with the keys that it lacks at its end; the user's own keys and comments stay. `None` when nothing is missing.
pub fn with_keys(current: &str, keys: &[String]) -> Option<String> {
    let mut text = current.to_owned();
    for key in keys.iter().map(|key| key.trim()) {
        let known = |line: &str| line.trim() == key;
        if key.is_empty() || text.lines().any(known) {
            continue;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(key);
        text.push('\n');
    }
    (text != current).then_some(text)
}

/// Lets the holders of `keys` log in as `name`.
///
/// # Errors
/// The user does not exist or its files cannot be written.
pub fn authorize(root: &Path, name: &str, keys: &[String]) -> Result<(), Error> {
    let user = account::user(root, name)?;
    let directory = account::below(root, &user.home).join(".ssh");
    let path = directory.join("authorized_keys");
    let current = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some(text) = with_keys(&current, keys) {
        file::directory(&directory, 0o700, Some(user.ids))?;
        file::replace(&path, text.as_bytes(), 0o600, Some(user.ids))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_are_added_and_others_stay() {
        let keys = [
            "ssh-ed25519 AAA a".to_owned(),
            " ssh-rsa BBB b\n".to_owned(),
            String::new(),
        ];
        let table = [
            ("", Some("ssh-ed25519 AAA a\nssh-rsa BBB b\n")),
            (
                "# mine\nssh-rsa CCC c",
                Some("# mine\nssh-rsa CCC c\nssh-ed25519 AAA a\nssh-rsa BBB b\n"),
            ),
            ("ssh-rsa BBB b\nssh-ed25519 AAA a\n", None),
        ];
        for (current, expected) in table {
            assert_eq!(with_keys(current, &keys).as_deref(), expected);
        }
    }
}
