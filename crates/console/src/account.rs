//! Users and groups, from the console's own `/etc/passwd` and `/etc/group` (passwd(5), group(5)).

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::file;

/// The users that people log in as (inventory H3-010).
pub const LOGIN_USERS: [&str; 2] = ["rancher", "docker"];

/// A user's and a group's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// One line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Numbers of the user and its first group.
    pub ids: Ids,
    /// Home directory.
    pub home: PathBuf,
}

/// The user called `name` in the text of a passwd file.
pub fn find_user(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [user, _, uid, gid, _, home, ..] = fields[..] else {
            return None;
        };
        (user == name).then_some(())?;
        Some(User {
            ids: Ids {
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
            },
            home: home.into(),
        })
    })
}

/// The number of the group called `name` in the text of a group file.
pub fn find_group(group: &str, name: &str) -> Option<u32> {
    group.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [found, _, gid, ..] = fields[..] else {
            return None;
        };
        (found == name).then(|| gid.parse().ok())?
    })
}

/// The user of the console at `root`.
///
/// # Errors
/// The user does not exist, or `etc/passwd` cannot be read.
pub fn user(root: &Path, name: &str) -> Result<User, Error> {
    let path = root.join("etc/passwd");
    let passwd = std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    find_user(&passwd, name).ok_or_else(|| Error::Unknown {
        kind: "user",
        name: name.to_owned(),
    })
}

/// `user`, `user:group` or numbers, as chown(1) takes them. Without a group it is the user's own.
///
/// # Errors
/// One of the two does not exist.
pub fn owner(root: &Path, text: &str) -> Result<Ids, Error> {
    let (user_name, group_name) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let mut ids = match user_name.parse() {
        Ok(uid) => Ids { uid, gid: uid },
        Err(_) => user(root, user_name)?.ids,
    };
    if let Some(name) = group_name {
        ids.gid = match name.parse() {
            Ok(gid) => gid,
            Err(_) => {
                let path = root.join("etc/group");
                let group = std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
                find_group(&group, name).ok_or_else(|| Error::Unknown {
                    kind: "group",
                    name: name.to_owned(),
                })?
            }
        };
    }
    Ok(ids)
}

/// Makes the home directory of `name` with the files of `etc/skel`, unless it exists.
///
/// # Errors
/// The user does not exist or the directory cannot be made.
pub fn make_home(root: &Path, name: &str) -> Result<(), Error> {
    let user = user(root, name)?;
    let home = below(root, &user.home);
    if home.exists() {
        return Ok(());
    }
    file::directory(&home, 0o755, Some(user.ids))?;
    let skeleton = root.join("etc/skel");
    let Ok(entries) = std::fs::read_dir(&skeleton) else {
        return Ok(());
    };
    for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
        let content = std::fs::read(entry.path()).map_err(Error::file("read", &entry.path()))?;
        file::replace(
            &home.join(entry.file_name()),
            &content,
            0o644,
            Some(user.ids),
        )?;
    }
    Ok(())
}

/// An absolute path of the console, below `root`.
pub fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        broken\n\
        rancher:x:1100:1100:RancherOS user:/home/rancher:/bin/bash\n\
        docker:x:1101:1101::/home/docker:/bin/bash\n";

    #[test]
    fn users_and_groups_are_found() {
        let rancher = find_user(PASSWD, "rancher").unwrap();
        assert_eq!(
            rancher.ids,
            Ids {
                uid: 1100,
                gid: 1100
            }
        );
        assert_eq!(rancher.home, Path::new("/home/rancher"));
        assert_eq!(find_user(PASSWD, "nobody"), None);
        assert_eq!(
            find_group("root:x:0:\ndocker:x:1101:rancher\n", "docker"),
            Some(1101)
        );
    }

    #[test]
    fn owners_are_names_or_numbers() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/passwd"), PASSWD).unwrap();
        std::fs::write(root.join("etc/group"), "adm:x:4:\n").unwrap();
        let table = [
            ("rancher", Ok((1100, 1100))),
            ("rancher:adm", Ok((1100, 4))),
            ("5:6", Ok((5, 6))),
            ("rancher:", Ok((1100, 1100))),
            ("me", Err("there is no user \"me\" in the console")),
            ("root:us", Err("there is no group \"us\" in the console")),
        ];
        for (text, expected) in table {
            let got = owner(root, text).map(|ids| (ids.uid, ids.gid));
            assert_eq!(
                got.map_err(|error| error.to_string()),
                expected.map_err(str::to_owned)
            );
        }
    }

    #[test]
    fn homes_are_made_once_with_the_skeleton() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: needs root to set owners");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("etc/skel")).unwrap();
        std::fs::write(root.join("etc/passwd"), PASSWD).unwrap();
        std::fs::write(root.join("etc/skel/.bashrc"), "# mine\n").unwrap();
        make_home(root, "rancher").unwrap();
        let bashrc = root.join("home/rancher/.bashrc");
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(&bashrc).unwrap().uid(), 1100);
        std::fs::write(&bashrc, "# changed\n").unwrap();
        make_home(root, "rancher").unwrap();
        assert_eq!(std::fs::read_to_string(&bashrc).unwrap(), "# changed\n");
    }
}
