//! `rancher.password` (inventory A9-004, A7-009).

use std::io::Write;
use std::process::{Command, Stdio};

use crate::error::Error;

/// The arguments of chpasswd(8) for this password. Both avoid PAM. Plain text is the rule; unlike upstream, a crypt(3) hash
/// is taken as such, so that the kernel line need not give the password away.
fn chpasswd_arguments(password: &str) -> &'static [&'static str] {
    const HASHES: [&str; 6] = ["$1$", "$2b$", "$5$", "$6$", "$7$", "$y$"];
    let hashed = HASHES.iter().any(|prefix| password.starts_with(prefix))
        && password.matches('$').count() >= 3;
    match hashed {
        true => &["-e"],
        false => &["-c", "YESCRYPT"],
    }
}

/// Sets the password of `user` in this container.
///
/// # Errors
/// chpasswd is missing or refuses.
pub fn set(user: &str, password: &str) -> Result<(), Error> {
    let failed_start = |cause| Error::Start {
        program: "chpasswd".to_owned(),
        cause,
    };
    let mut child = Command::new("chpasswd")
        .args(chpasswd_arguments(password))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed_start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A chpasswd that ends early says why itself.
        let _ = writeln!(stdin, "{user}:{password}");
    }
    let output = child.wait_with_output().map_err(failed_start)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        program: format!("chpasswd for {user}"),
        status: output.status,
        message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_told_from_plain_text() {
        let table = [
            ("secret", "-c"),
            ("$ecret", "-c"),
            ("$6$", "-c"),
            ("$6$salt$hash", "-e"),
            ("$y$j9T$salt$hash", "-e"),
        ];
        for (password, expected) in table {
            assert_eq!(chpasswd_arguments(password)[0], expected, "{password}");
        }
    }
}
