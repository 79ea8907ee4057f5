//! Services that the user may switch on (inventory D3-022): the bundled catalogue and files of the user's own.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::problem::Problem;

/// Where the bundled catalogue is: `index.yml` and `<first letter>/<name>.yml`.
pub const BUNDLED: &str = "/usr/share/ros/services";
/// Where the user's own definition files may be (B10-002).
pub const LOCAL: &str = "/var/lib/rancher/conf";

/// The names in a catalogue, by what they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Index {
    /// Optional services.
    pub services: Vec<String>,
    /// Consoles.
    pub consoles: Vec<String>,
    /// Docker engines.
    pub engines: Vec<String>,
}

/// The definitions that can be included, below the root of the machine.
#[derive(Debug, Clone)]
pub struct Catalogue {
    root: PathBuf,
}

impl Catalogue {
    /// The catalogue of the machine whose root is `root`.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// What the bundled catalogue offers; empty when there is none.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn index(&self) -> Result<Index, Problem> {
        let file = format!("{BUNDLED}/index.yml");
        let problem = |text: String| Problem::new("catalogue", None, text);
        match self.read(&file) {
            Ok(text) => {
                let tree = yaml(&file, &text).map_err(problem)?;
                serde_json::from_value(tree).map_err(|e| problem(format!("{file}: {e}")))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Index::default()),
            Err(e) => Err(problem(format!("cannot read {file}: {e}"))),
        }
    }

    /// Whether `name` can be included: a name of the index, or a file below [`LOCAL`] (E1-014).
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, name: &str) -> Result<(), Problem> {
        self.definitions(name).map(drop)
    }

    /// The service definitions that including `name` adds.
    ///
    /// # Errors
    /// When there are none by that name, or the file is not a map of definitions.
    pub fn definitions(&self, name: &str) -> Result<Value, Problem> {
        let problem = |text: String| Problem::new(name, None, text);
        let file = file_of(name).map_err(problem)?;
        let text = self.read(&file).map_err(|e| {
            problem(match e.kind() {
                std::io::ErrorKind::NotFound => format!("not a valid service: there is no {file}"),
                _ => format!("cannot read {file}: {e}"),
            })
        })?;
        match yaml(&file, &text).map_err(problem)? {
            tree @ Value::Object(_) => Ok(tree),
            _ => Err(problem(format!(
                "{file} is not a map of service definitions"
            ))),
        }
    }

    fn read(&self, file: &str) -> std::io::Result<String> {
        fs::read_to_string(self.root.join(file.trim_start_matches('/')))
    }
}

/// The file that defines `name`.
fn file_of(name: &str) -> Result<String, String> {
    if name.starts_with("http://") || name.starts_with("https://") {
        return Err(format!(
            "definitions are not fetched from the network; save the file below {LOCAL} and include it by its path"
        ));
    }
    if name.starts_with('/') {
        let path = Path::new(name);
        let inside = path.starts_with(LOCAL)
            && path
                .components()
                .all(|c| c != std::path::Component::ParentDir);
        return match inside {
            true => Ok(name.into()),
            false => Err(format!("not a valid service: files must be below {LOCAL}")),
        };
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    match name.chars().next() {
        Some(first) if first.is_ascii_alphanumeric() && name.chars().all(plain) => {
            Ok(format!("{BUNDLED}/{first}/{name}.yml"))
        }
        _ => Err("not a valid service".into()),
    }
}

fn yaml(file: &str, text: &str) -> Result<Value, String> {
    match coracle_config::yaml::parse(file, text) {
        Ok(located) => Ok(located.tree),
        Err(problem) => Err(problem.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn bundled_and_local_definitions_are_found() {
        let root = machine(&[
            (
                "/usr/share/ros/services/index.yml",
                "services: [docker-compose]\n",
            ),
            (
                "/usr/share/ros/services/d/docker-compose.yml",
                "docker-compose:\n  image: i\n",
            ),
            ("/var/lib/rancher/conf/mine.yml", "mine: {image: m}\n"),
        ]);
        let catalogue = Catalogue::below(root.path());
        assert_eq!(catalogue.index().unwrap().services, ["docker-compose"]);
        assert_eq!(
            catalogue.definitions("docker-compose"),
            Ok(json!({"docker-compose": {"image": "i"}}))
        );
        assert_eq!(
            catalogue.definitions("/var/lib/rancher/conf/mine.yml"),
            Ok(json!({"mine": {"image": "m"}}))
        );
        assert_eq!(
            Catalogue::below(Path::new("/nowhere")).index(),
            Ok(Index::default())
        );
    }

    #[test]
    fn what_cannot_be_included_is_refused() {
        let root = machine(&[
            ("/usr/share/ros/services/l/list.yml", "- a\n"),
            ("/etc/passwd", "root"),
        ]);
        let catalogue = Catalogue::below(root.path());
        let table = [
            (
                "nonsense",
                "service nonsense: not a valid service: there is no /usr/share/ros/services/n/nonsense.yml",
            ),
            ("../x", "service ../x: not a valid service"),
            ("", "service : not a valid service"),
            (
                "/etc/passwd",
                "service /etc/passwd: not a valid service: files must be below /var/lib/rancher/conf",
            ),
            (
                "/var/lib/rancher/conf/../../../../etc/passwd",
                "service /var/lib/rancher/conf/../../../../etc/passwd: not a valid service: files must be below /var/lib/rancher/conf",
            ),
            (
                "https://example.com/a.yml",
                "service https://example.com/a.yml: definitions are not fetched from the network; \
                 save the file below /var/lib/rancher/conf and include it by its path",
            ),
            (
                "list",
                "service list: /usr/share/ros/services/l/list.yml is not a map of service definitions",
            ),
        ];
        for (name, want) in table {
            assert_eq!(catalogue.check(name).unwrap_err().to_string(), want);
        }
    }
}
