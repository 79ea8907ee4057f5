use std::fs;
use std::path::PathBuf;

use crate::archive::{hashes, run};
use crate::{Archive, Error, Result, sha256_hex};

/// A source package: the files that its signed index entry names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePackage {
    /// Source package name.
    pub name: String,
    /// Debian version.
    pub version: String,
    /// File names and their SHA-256.
    pub files: Vec<(String, String)>,
}

impl SourcePackage {
    /// Name and SHA-256 of the tarball that its authors released.
    pub fn upstream(&self) -> Option<&(String, String)> {
        let is_upstream = |name: &str| name.contains(".orig.tar.") && !name.ends_with(".asc");
        self.files.iter().find(|(name, _)| is_upstream(name))
    }
}

impl Archive {
    /// Looks up the newest version of a source package.
    pub fn source(&self, name: &str) -> Result<SourcePackage> {
        let output = run(
            self.apt("apt-cache")
                .args(["-q", "showsrc", "--only-source", name]),
            "apt-cache",
            "apt",
        )?;
        let newest = output
            .split("\n\n")
            .filter(|stanza| !stanza.trim().is_empty())
            .filter_map(parse)
            .filter(|source| source.name == name)
            .max_by(|a, b| compare_versions(&a.version, &b.version));
        newest.ok_or_else(|| Error::UnknownPackages {
            suite: self.suite().name(),
            names: vec![format!("{name} (source)")],
        })
    }

    /// Downloads what its authors released, without Debian's changes to it, and returns the file.
    pub fn fetch_upstream(&self, source: &SourcePackage) -> Result<PathBuf> {
        let found = source.upstream();
        let (name, sha256) = found.ok_or_else(|| Error::Record {
            package: source.name.clone(),
            suite: self.suite().name(),
            field: "upstream tarball",
        })?;
        let path = self.downloads.join(name);
        if path.exists() && sha256_hex(&path)? == *sha256 {
            return Ok(path);
        }
        let temp = tempfile::tempdir_in(&self.downloads)
            .map_err(Error::io("create a directory in", &self.downloads))?;
        let wanted = format!("{}={}", source.name, source.version);
        let arguments = [
            "source",
            "--download-only",
            "--tar-only",
            "--only-source",
            &wanted,
        ];
        self.download(self.apt("apt-get").args(arguments), temp.path(), 1)?;
        let arrived = hashes(temp.path())?;
        let file = arrived.get(sha256).ok_or_else(|| Error::NotDownloaded {
            package: name.clone(),
            sha256: sha256.clone(),
        })?;
        fs::rename(file, &path).map_err(Error::io("move", file))?;
        Ok(path)
    }
}

fn parse(stanza: &str) -> Option<SourcePackage> {
    let fields = crate::archive::fields(stanza);
    let files = stanza
        .lines()
        .skip_while(|line| !line.starts_with("Checksums-Sha256:"))
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let sha256 = words.next()?.to_owned();
            Some((words.nth(1)?.to_owned(), sha256))
        })
        .collect();
    Some(SourcePackage {
        name: (*fields.get("Package")?).to_owned(),
        version: (*fields.get("Version")?).to_owned(),
        files,
    })
}

/// Debian's order of versions, by dpkg itself.
fn compare_versions(a: &str, b: &str) -> std::cmp::Ordering {
    let less = std::process::Command::new("dpkg")
        .args(["--compare-versions", a, "lt", b])
        .status();
    match less {
        Ok(status) if status.success() => std::cmp::Ordering::Less,
        _ if a == b => std::cmp::Ordering::Equal,
        _ => std::cmp::Ordering::Greater,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_stanza_lists_its_files() {
        let stanza = "Package: libmnl\nVersion: 1.0.5-3\nFiles:\n aa 1 libmnl_1.0.5-3.dsc\nChecksums-Sha256:\n \
                      11 2096 libmnl_1.0.5-3.dsc\n 22 301270 libmnl_1.0.5.orig.tar.bz2\n 33 833 libmnl_1.0.5.orig.tar.bz2.asc\n\
                      Homepage: https://x\n";
        let source = parse(stanza).expect("a whole stanza");
        assert_eq!(
            (
                source.name.as_str(),
                source.version.as_str(),
                source.files.len()
            ),
            ("libmnl", "1.0.5-3", 3)
        );
        let upstream = source
            .upstream()
            .map(|(name, sha256)| (name.as_str(), sha256.as_str()));
        assert_eq!(upstream, Some(("libmnl_1.0.5.orig.tar.bz2", "22")));
    }
}
