use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::{Error, Result, Suite, progress, sha256_hex};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Package lists older than this are fetched anew.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A binary package as the suite's signed list describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The suite it comes from.
    pub suite: Suite,
    /// Package name.
    pub name: String,
    /// Debian version, with epoch.
    pub version: String,
    /// Name of the source package.
    pub source: String,
    /// Version of the source package.
    pub source_version: String,
    /// SHA-256 of the `.deb`, lower-case hex.
    pub sha256: String,
    /// Path below the mirror.
    pub filename: String,
    /// Names of the packages it depends on, the first of each alternative.
    pub depends: Vec<String>,
}

/// A private apt state for one suite.
#[derive(Debug, Clone)]
pub struct Archive {
    suite: Suite,
    state: PathBuf,
    pub(crate) downloads: PathBuf,
}

impl Archive {
    /// Opens the state below `cache`, fetching the package lists when there are none, they are a week old, or `refresh` is set.
    pub fn open(cache: &Path, suite: Suite, refresh: bool) -> Result<Self> {
        let cache = std::path::absolute(cache).map_err(Error::io("resolve", cache))?;
        let state = cache.join("apt").join(suite.name());
        let downloads = cache.join("packages");
        let archive = Self {
            suite,
            state,
            downloads,
        };
        archive.create_state()?;
        if refresh || !archive.has_fresh_lists() {
            archive.update()?;
        }
        Ok(archive)
    }

    /// The suite.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    fn create_state(&self) -> Result<()> {
        let keyring = Path::new(KEYRING);
        if !keyring.exists() {
            return Err(Error::NoKeyring(keyring.into()));
        }
        let partial = [
            self.state.join("lists/partial"),
            self.state.join("cache/archives/partial"),
            self.downloads.clone(),
        ];
        for dir in &partial {
            fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        }
        let files = [
            ("sources.list", self.suite.sources(keyring)),
            ("status", String::new()),
        ];
        for (name, content) in files {
            let path = self.state.join(name);
            if fs::read_to_string(&path).ok().as_deref() != Some(&content) {
                // New sources make the old lists worthless.
                let _ = fs::remove_file(self.stamp());
                fs::write(&path, content).map_err(Error::io("write", path))?;
            }
        }
        Ok(())
    }

    fn stamp(&self) -> PathBuf {
        self.state.join("updated")
    }

    fn has_fresh_lists(&self) -> bool {
        let modified = fs::metadata(self.stamp()).and_then(|meta| meta.modified());
        modified.is_ok_and(|time| {
            SystemTime::now()
                .duration_since(time)
                .is_ok_and(|age| age < MAX_AGE)
        })
    }

    fn update(&self) -> Result<()> {
        let bar = indicatif::ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        bar.set_message(format!("package lists of {}", self.suite.name()));
        // An unverifiable or unreachable list is an error, not a warning.
        run(
            self.apt("apt-get")
                .args(["-qq", "--error-on=any", "update"]),
            "apt-get",
            "apt",
        )?;
        bar.finish_and_clear();
        fs::write(self.stamp(), "").map_err(Error::io("write", self.stamp()))
    }

    /// `apt-get` or `apt-cache`, looking at this state only.
    pub(crate) fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let paths = [
            ("Dir::Etc::sourcelist", self.state.join("sources.list")),
            ("Dir::Etc::sourceparts", "/dev/null".into()),
            ("Dir::Etc::preferences", "/dev/null".into()),
            ("Dir::Etc::preferencesparts", "/dev/null".into()),
            ("Dir::State::lists", self.state.join("lists")),
            ("Dir::State::status", self.state.join("status")),
            (
                "Dir::State::extended_states",
                self.state.join("extended_states"),
            ),
            ("Dir::Cache", self.state.join("cache")),
        ];
        for (key, value) in paths {
            command.arg("-o").arg(format!("{key}={}", value.display()));
        }
        let settings = [
            "APT::Architecture=amd64",
            "APT::Architectures=amd64",
            "APT::Get::AllowUnauthenticated=false",
            "APT::Default-Release=",
            // Downloads go to the build's own cache, which apt's sandbox user may not be able to reach.
            "APT::Sandbox::User=",
            "Acquire::Languages=none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
            "Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled=false",
            "Acquire::Retries=3",
        ];
        for setting in settings {
            command.arg("-o").arg(setting);
        }
        command
            .env("LC_ALL", "C.UTF-8")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null());
        command
    }

    /// Looks up the newest version of each package.
    pub fn packages<S: AsRef<str>>(&self, names: &[S]) -> Result<Vec<Package>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let output = self
            .apt("apt-cache")
            .args(["-q", "show", "--no-all-versions"])
            .args(names.iter().map(AsRef::as_ref))
            .output()
            .map_err(|source| Error::MissingProgram {
                program: "apt-cache",
                package: "apt",
                source,
            })?;
        // A missing package shows in the answer below; apt-cache's own exit status does not tell which.
        let text = String::from_utf8_lossy(&output.stdout);
        let mut found = BTreeMap::new();
        for stanza in text
            .split("\n\n")
            .filter(|stanza| !stanza.trim().is_empty())
        {
            let package = self.parse(stanza)?;
            found.insert(package.name.clone(), package);
        }
        let missing: Vec<String> = names
            .iter()
            .map(|name| name.as_ref().to_owned())
            .filter(|name| !found.contains_key(name))
            .collect();
        if !missing.is_empty() {
            return Err(Error::UnknownPackages {
                suite: self.suite.name(),
                names: missing,
            });
        }
        Ok(names
            .iter()
            .filter_map(|name| found.get(name.as_ref()).cloned())
            .collect())
    }

    fn parse(&self, stanza: &str) -> Result<Package> {
        let fields = fields(stanza);
        let name = fields
            .get("Package")
            .copied()
            .unwrap_or_default()
            .to_owned();
        let field = |key: &'static str| {
            fields
                .get(key)
                .map(|value| (*value).to_owned())
                .ok_or_else(|| Error::Record {
                    package: name.clone(),
                    suite: self.suite.name(),
                    field: key,
                })
        };
        let version = field("Version")?;
        let (source, source_version) = match fields
            .get("Source")
            .and_then(|source| source.split_once(" ("))
        {
            Some((source, version)) => {
                (source.to_owned(), version.trim_end_matches(')').to_owned())
            }
            None => (
                fields
                    .get("Source")
                    .map_or_else(|| name.clone(), |s| (*s).to_owned()),
                version.clone(),
            ),
        };
        let (sha256, filename) = (field("SHA256")?, field("Filename")?);
        let depends = ["Pre-Depends", "Depends"]
            .iter()
            .filter_map(|key| fields.get(key))
            .flat_map(|list| dependencies(list));
        let depends = depends.collect();
        Ok(Package {
            suite: self.suite,
            name,
            version,
            source,
            source_version,
            sha256,
            filename,
            depends,
        })
    }

    /// The packages and everything they depend on, without recommendations.
    pub fn closure<S: AsRef<str>>(&self, names: &[S]) -> Result<Vec<String>> {
        let output = run(
            self.apt("apt-get")
                .args(["-q", "--simulate", "--no-install-recommends", "install"])
                .args(names.iter().map(AsRef::as_ref)),
            "apt-get",
            "apt",
        )?;
        let mut closure: Vec<String> = output
            .lines()
            .filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
            .map(str::to_owned)
            .collect();
        closure.sort();
        Ok(closure)
    }

    /// Where a package's file is once it has been fetched. The name holds the hash, so a file that exists is the right one.
    pub fn path(&self, package: &Package) -> PathBuf {
        let version = package.version.replace(':', "%3a");
        self.downloads.join(format!(
            "{}_{version}_{:.12}.deb",
            package.name, package.sha256
        ))
    }

    /// Downloads the packages that are not in the cache yet and returns all their paths, in order.
    pub fn fetch(&self, packages: &[Package]) -> Result<Vec<PathBuf>> {
        let wanted: Vec<&Package> = packages
            .iter()
            .filter(|package| !self.path(package).exists())
            .collect();
        if !wanted.is_empty() {
            let dir = tempfile::tempdir_in(&self.downloads)
                .map_err(Error::io("create a directory in", &self.downloads))?;
            let names = wanted
                .iter()
                .map(|package| format!("{}={}", package.name, package.version));
            self.download(
                self.apt("apt-get").arg("download").args(names),
                dir.path(),
                wanted.len(),
            )?;
            let mut arrived = hashes(dir.path())?;
            for package in wanted {
                let file = arrived
                    .remove(&package.sha256)
                    .ok_or_else(|| Error::NotDownloaded {
                        package: package.name.clone(),
                        sha256: package.sha256.clone(),
                    })?;
                fs::rename(&file, self.path(package)).map_err(Error::io("move", file))?;
            }
        }
        Ok(packages.iter().map(|package| self.path(package)).collect())
    }

    /// Runs a downloading apt in `dir` and turns its status lines into a progress bar.
    pub(crate) fn download(&self, command: &mut Command, dir: &Path, files: usize) -> Result<()> {
        let missing = |source| Error::MissingProgram {
            program: "apt-get",
            package: "apt",
            source,
        };
        let bar = progress::percent(&format!(
            "downloading {files} files from {}",
            self.suite.name()
        ));
        let mut child = command
            .args(["-qq", "-o", "APT::Status-Fd=1"])
            .current_dir(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(missing)?;
        let stderr = child.stderr.take().map(|mut pipe| {
            std::thread::spawn(move || {
                let mut text = String::new();
                let _ = pipe.read_to_string(&mut text);
                text
            })
        });
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout)
                .lines()
                .map_while(std::io::Result::ok)
            {
                if let Some(percent) = download_percent(&line) {
                    bar.set_position(percent);
                }
            }
        }
        let status = child.wait().map_err(missing)?;
        bar.finish_and_clear();
        let stderr = stderr
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default();
        if status.success() {
            Ok(())
        } else {
            Err(Error::Program {
                command: "apt-get download".into(),
                status,
                stderr,
            })
        }
    }
}

/// Every file of a directory by its SHA-256.
pub(crate) fn hashes(dir: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut hashes = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let path = entry.map_err(Error::io("list", dir))?.path();
        if path.is_file() {
            hashes.insert(sha256_hex(&path)?, path);
        }
    }
    Ok(hashes)
}

/// `dlstatus:3:42.5000:Retrieving file 3 of 9` → 42 (apt's progress-reporting document).
fn download_percent(line: &str) -> Option<u64> {
    let mut parts = line.split(':');
    (parts.next()? == "dlstatus").then_some(())?;
    let percent = parts.nth(1)?.split('.').next()?;
    percent.parse().ok()
}

/// The one-line fields of a control stanza.
pub(crate) fn fields(stanza: &str) -> BTreeMap<&str, &str> {
    stanza
        .lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key, value.trim()))
        .collect()
}

/// `libc6 (>= 2.38), cron | anacron` → libc6, cron (Debian policy, 7.1)
fn dependencies(list: &str) -> impl Iterator<Item = String> + '_ {
    list.split(',')
        .filter_map(|item| item.split(['(', '|', ':']).next())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
}

/// Runs a program of the host to its end and returns its standard output.
pub(crate) fn run(
    command: &mut Command,
    program: &'static str,
    package: &'static str,
) -> Result<String> {
    let output = command.output().map_err(|source| Error::MissingProgram {
        program,
        package,
        source,
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Program {
        command: command.get_args().fold(program.to_owned(), |line, arg| {
            line + " " + &arg.to_string_lossy()
        }),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_apt_s_download_status() {
        assert_eq!(
            download_percent("dlstatus:2:18.9868:Retrieving file 2 of 2"),
            Some(18)
        );
        assert_eq!(download_percent("pmstatus:libc6:10.0:x"), None);
    }

    #[test]
    fn a_package_names_its_source_and_binary_rebuild() {
        let archive = Archive {
            suite: Suite::Trixie,
            state: "/s".into(),
            downloads: "/d".into(),
        };
        let stanza = "Package: busybox-static\nSource: busybox (1:1.37.0-6)\nVersion: 1:1.37.0-6+b9\nDepends: libc6 (>= 2.38), cron | anacron\nDescription: tiny\n \
                      Version: not this\nFilename: pool/b.deb\nSHA256: 598a3fd92bdafc34\n";
        let package = archive.parse(stanza).expect("a whole stanza");
        assert_eq!(
            package,
            Package {
                suite: Suite::Trixie,
                name: "busybox-static".into(),
                version: "1:1.37.0-6+b9".into(),
                source: "busybox".into(),
                source_version: "1:1.37.0-6".into(),
                sha256: "598a3fd92bdafc34".into(),
                filename: "pool/b.deb".into(),
                depends: vec!["libc6".into(), "cron".into()],
            }
        );
        assert_eq!(
            archive.path(&package),
            Path::new("/d/busybox-static_1%3a1.37.0-6+b9_598a3fd92bda.deb")
        );
    }

    #[test]
    fn a_stanza_without_hash_is_refused() {
        let archive = Archive {
            suite: Suite::Forky,
            state: "/s".into(),
            downloads: "/d".into(),
        };
        let error = archive
            .parse("Package: x\nVersion: 1\nFilename: p\n")
            .expect_err("no hash");
        assert_eq!(
            error.to_string(),
            "apt's record of x in forky has no usable SHA256"
        );
    }
}
