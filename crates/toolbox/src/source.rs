use std::fs;
use std::path::PathBuf;

use crate::archive::{hashes, run};
use crate::{Archive, Error, Result};

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
    /// The file whose name has this infix, for example `.orig.tar.`.
    pub fn file(&self, infix: &str) -> Option<&str> {
        self.files
            .iter()
            .map(|(name, _)| name.as_str())
            .find(|name| name.contains(infix) && !name.ends_with(".asc"))
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

    /// Downloads a source package's files and returns their directory.
    pub fn fetch_source(&self, source: &SourcePackage) -> Result<PathBuf> {
        let dir = self.downloads.join(format!(
            "{}_{}_source",
            source.name,
            source.version.replace(':', "%3a")
        ));
        if dir.exists() {
            return Ok(dir);
        }
        let temp = tempfile::tempdir_in(&self.downloads)
            .map_err(Error::io("create a directory in", &self.downloads))?;
        let wanted = format!("{}={}", source.name, source.version);
        self.download(
            self.apt("apt-get")
                .args(["source", "--download-only", "--only-source", &wanted]),
            temp.path(),
            source.files.len(),
        )?;
        let arrived = hashes(temp.path())?;
        for (file, sha256) in &source.files {
            if !arrived.contains_key(sha256) {
                return Err(Error::NotDownloaded {
                    package: file.clone(),
                    sha256: sha256.clone(),
                });
            }
        }
        let kept = temp.keep();
        fs::rename(&kept, &dir).map_err(Error::io("move", kept))?;
        Ok(dir)
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
        assert_eq!(source.file(".orig.tar."), Some("libmnl_1.0.5.orig.tar.bz2"));
        assert_eq!(source.file(".debian.tar."), None);
    }
}
