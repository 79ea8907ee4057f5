//! Users and groups of an image: `--user NAME[:GROUP]` to numbers, by the image's own `/etc/passwd` and `/etc/group`.

use std::collections::BTreeSet;

use crate::error::{Error, Result};

/// Who a process runs as.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, sorted.
    pub groups: Vec<u32>,
    /// Home directory; `/` when the user has no entry.
    pub home: String,
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn passwd_entries(text: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields[..] else {
            return None;
        };
        Some(PasswdEntry {
            name,
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home,
        })
    })
}

fn group_entries(text: &str) -> impl Iterator<Item = GroupEntry<'_>> {
    text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members, ..] = fields[..] else {
            return None;
        };
        Some(GroupEntry {
            name,
            gid: gid.parse().ok()?,
            members,
        })
    })
}

/// Resolves `user` (`""`, `uid`, `name`, each with an optional `:gid` or `:group`) and the further groups `added`.
///
/// # Errors
/// When a name has no entry; the text is that of runc.
pub fn resolve(user: &str, added: &[String], passwd: &str, group: &str) -> Result<Account> {
    let (user, wanted_group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = user.parse::<u32>().ok();
    let entry =
        passwd_entries(passwd).find(|entry| entry.name == user || Some(entry.uid) == number);
    let mut account = match (&entry, number) {
        (Some(entry), _) => Account {
            uid: entry.uid,
            gid: entry.gid,
            groups: Vec::new(),
            home: if entry.home.is_empty() {
                "/".into()
            } else {
                entry.home.into()
            },
        },
        (None, Some(uid)) => Account {
            uid,
            gid: 0,
            groups: Vec::new(),
            home: "/".into(),
        },
        (None, None) => {
            return Err(Error::Invalid(format!(
                "unable to find user {user}: no matching entries in passwd file"
            )));
        }
    };
    let mut groups = BTreeSet::new();
    match wanted_group {
        Some(wanted) if !wanted.is_empty() => account.gid = group_id(wanted, group)?,
        _ => {
            let name = entry.map_or(user, |entry| entry.name);
            let is_member =
                |entry: &GroupEntry<'_>| entry.members.split(',').any(|member| member == name);
            groups.extend(
                group_entries(group)
                    .filter(is_member)
                    .map(|entry| entry.gid),
            );
        }
    }
    // The primary group is among them, so that giving it up takes nothing else away.
    groups.insert(account.gid);
    for name in added {
        groups.insert(group_id(name, group)?);
    }
    account.groups = groups.into_iter().collect();
    Ok(account)
}

fn group_id(name: &str, group: &str) -> Result<u32> {
    if let Some(entry) = group_entries(group).find(|entry| entry.name == name) {
        return Ok(entry.gid);
    }
    name.parse().map_err(|_| {
        Error::Invalid(format!(
            "unable to find group {name}: no matching entries in group file"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n# comment\nrancher:x:1100:1100::/home/rancher:/bin/bash\n";
    const GROUP: &str =
        "root:x:0:root\nsudo:x:27:rancher,other\nrancher:x:1100:\ndocker:x:1101:rancher\n";

    #[test]
    fn users_and_groups_are_names_or_numbers() {
        type Found = Result<(u32, u32, &'static [u32], &'static str), &'static str>;
        let table: &[(&str, &[&str], Found)] = &[
            ("", &[], Ok((0, 0, &[0], "/root"))),
            (
                "rancher",
                &[],
                Ok((1100, 1100, &[27, 1100, 1101], "/home/rancher")),
            ),
            (
                "1100",
                &["7"],
                Ok((1100, 1100, &[7, 27, 1100, 1101], "/home/rancher")),
            ),
            (
                "rancher:docker",
                &[],
                Ok((1100, 1101, &[1101], "/home/rancher")),
            ),
            (
                "rancher:5",
                &["sudo"],
                Ok((1100, 5, &[5, 27], "/home/rancher")),
            ),
            ("4242", &[], Ok((4242, 0, &[0], "/"))),
            ("4242:4343", &[], Ok((4242, 4343, &[4343], "/"))),
            (
                "nobody",
                &[],
                Err("unable to find user nobody: no matching entries in passwd file"),
            ),
            (
                "root:nope",
                &[],
                Err("unable to find group nope: no matching entries in group file"),
            ),
            (
                "root",
                &["nope"],
                Err("unable to find group nope: no matching entries in group file"),
            ),
        ];
        for (user, added, expected) in table {
            let added: Vec<String> = added.iter().map(ToString::to_string).collect();
            let got = resolve(user, &added, PASSWD, GROUP).map_err(|error| error.to_string());
            let expected = match expected {
                Ok((uid, gid, groups, home)) => Ok(Account {
                    uid: *uid,
                    gid: *gid,
                    groups: groups.to_vec(),
                    home: home.to_string(),
                }),
                Err(text) => Err(text.to_string()),
            };
            assert_eq!(got, expected, "{user}");
        }
    }
}
