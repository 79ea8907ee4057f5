use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Forward, Project, Result};

/// The directory of one machine: `.cache/vm/<name>/`.
///
/// | file | what |
/// |---|---|
/// | `pid` | QEMU's process id, written by QEMU |
/// | `ports` | one `HOST:GUEST` a line |
/// | `qmp.sock`, `serial.sock` | control and serial console |
/// | `serial.log` | everything the guest wrote to its serial console |
/// | `qemu.log` | QEMU's standard error |
/// | `ssh-key`, `ssh-key.pub` | the key that the guest lets in |
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
    name: String,
}

impl StateDir {
    /// The directory of the machine called `name`; nothing is created yet.
    pub fn named(project: &Project, name: &str) -> Result<Self> {
        let mut letters = name.chars();
        let sound = letters.next().is_some_and(|c| c.is_ascii_alphanumeric())
            && letters.all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !sound {
            return Err(Error::BadName(name.to_owned()));
        }
        let path = project.cache().join("vm").join(name);
        Ok(Self {
            path,
            name: name.to_owned(),
        })
    }

    /// The machines that have a directory, by name.
    pub fn all(project: &Project) -> Result<Vec<Self>> {
        let parent = project.cache().join("vm");
        let entries = match fs::read_dir(&parent) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("list", parent)(error)),
        };
        let mut dirs: Vec<Self> = entries
            .filter_map(|entry| Self::named(project, entry.ok()?.file_name().to_str()?).ok())
            .filter(|dir| dir.path.is_dir())
            .collect();
        dirs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(dirs)
    }

    /// Creates it and removes what an earlier machine left that would mislead.
    pub(crate) fn prepare(&self) -> Result<()> {
        fs::create_dir_all(&self.path).map_err(Error::io("create", &self.path))?;
        for name in [
            "pid",
            "ports",
            "qmp.sock",
            "serial.sock",
            "serial2.sock",
            "ssh.sock",
            "serial.log",
            "qemu.log",
        ] {
            let path = self.file(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The machine's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// QEMU's process id when the machine runs. A stale file, even one whose number was given to another process, is no machine.
    pub fn running(&self) -> Option<u32> {
        let text = fs::read_to_string(self.file("pid")).ok()?;
        let pid: u32 = text.trim().parse().ok()?;
        let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let log = self.file("serial.log");
        let needle = log.as_os_str().as_encoded_bytes();
        command_line
            .windows(needle.len())
            .any(|window| window == needle)
            .then_some(pid)
    }

    /// The forwarded ports.
    pub fn ports(&self) -> Vec<Forward> {
        let text = fs::read_to_string(self.file("ports")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    pub(crate) fn write_ports(&self, ports: &[Forward]) -> Result<()> {
        let text: String = ports
            .iter()
            .map(|port| format!("{}:{}\n", port.host, port.guest))
            .collect();
        let path = self.file("ports");
        fs::write(&path, text).map_err(Error::io("write", path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_single_plain_directories() {
        let project = Project::here();
        for (name, sound) in [
            ("default", true),
            ("a-1_b.c", true),
            ("", false),
            ("../x", false),
            (".hidden", false),
            ("a/b", false),
        ] {
            assert_eq!(StateDir::named(&project, name).is_ok(), sound, "{name}");
        }
    }
}
