//! `/etc/profile.d`: proxy and path of interactive shells (inventory A7-017, B5-006, B3-002).

use std::path::Path;

use coracle_config::Config;

use crate::error::Error;
use crate::file;

/// Exports of the proxy settings, in both spellings that programs look for. Empty without a proxy.
pub fn proxy(config: &Config) -> String {
    let network = &config.rancher.network;
    let settings = [
        ("http_proxy", &network.http_proxy),
        ("https_proxy", &network.https_proxy),
        ("no_proxy", &network.no_proxy),
    ];
    let mut text = String::new();
    for (name, value) in settings {
        let Some(value) = value.as_deref().filter(|value| !value.is_empty()) else {
            continue;
        };
        let value = quoted(value);
        let upper = name.to_uppercase();
        text.push_str(&format!("export {name}={value}\nexport {upper}={value}\n"));
    }
    text
}

/// Puts `rancher.environment.PATH` (or `path`) before the usual directories. Empty without one.
pub fn path(config: &Config) -> String {
    let environment = &config.rancher.environment;
    let extra = ["PATH", "path"]
        .iter()
        .find_map(|name| environment.get(*name))
        .map(|value| value.trim_matches(':'))
        .filter(|value| !value.is_empty());
    match extra {
        Some(value) => format!("export PATH={}:\"$PATH\"\n", quoted(value)),
        None => String::new(),
    }
}

/// For sh: in single quotes.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// Writes both below `etc/profile.d`; a setting that is gone takes its file along.
///
/// # Errors
/// A file cannot be written.
pub fn write(root: &Path, config: &Config) -> Result<(), Error> {
    for (name, text) in [("proxy.sh", proxy(config)), ("path.sh", path(config))] {
        let file = root.join("etc/profile.d").join(name);
        if text.is_empty() {
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::file("remove", &file)(error));
                }
                _ => continue,
            }
        }
        file::replace_if_different(&file, text.as_bytes(), 0o644)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn proxy_and_path_are_quoted() {
        let config = json!({"rancher": {
            "network": {"http_proxy": "http://u:it's@proxy:3128", "no_proxy": "localhost,10.0.0.0/8"},
            "environment": {"PATH": "/opt/bin:/x y:"},
        }});
        let config: Config = serde_json::from_value(config).unwrap();
        assert_eq!(
            proxy(&config),
            "export http_proxy='http://u:it'\\''s@proxy:3128'\n\
             export HTTP_PROXY='http://u:it'\\''s@proxy:3128'\n\
             export no_proxy='localhost,10.0.0.0/8'\n\
             export NO_PROXY='localhost,10.0.0.0/8'\n"
        );
        assert_eq!(path(&config), "export PATH='/opt/bin:/x y':\"$PATH\"\n");
    }

    #[test]
    fn files_go_with_their_settings() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("etc/profile.d/proxy.sh");
        let config = json!({"rancher": {"network": {"http_proxy": "http://p"}}});
        write(directory.path(), &serde_json::from_value(config).unwrap()).unwrap();
        assert!(file.exists());
        write(directory.path(), &Config::default()).unwrap();
        assert!(!file.exists());
    }
}
