//! The server's side of `rancher.docker.tls` (inventory B6-020, B6-024, H3-003).

use std::path::Path;

use coracle_config::DockerConfig;
use coracle_console::file;
use serde_json::{Map, Value};

const CA: &str = "/etc/docker/tls/ca.pem";
const CERTIFICATE: &str = "/etc/docker/tls/server-cert.pem";
const KEY: &str = "/etc/docker/tls/server-key.pem";

/// dockerd's settings that use the files.
pub fn settings() -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("tlsverify".to_owned(), Value::Bool(true));
    for (key, path) in [("tlscacert", CA), ("tlscert", CERTIFICATE), ("tlskey", KEY)] {
        map.insert(key.to_owned(), Value::String(path.to_owned()));
    }
    map
}

/// Writes the files that the configuration holds (`ros tls generate` puts them there). Files that the user has put there
/// stay when it holds none.
///
/// # Errors
/// A file cannot be written.
pub fn write(docker: &DockerConfig) -> Result<(), coracle_console::Error> {
    let files = [
        (CA, &docker.ca_cert, 0o644),
        (CERTIFICATE, &docker.server_cert, 0o644),
        (KEY, &docker.server_key, 0o600),
    ];
    for (path, content, mode) in files {
        if let Some(content) = content.as_deref().filter(|content| !content.is_empty()) {
            file::replace(Path::new(path), content.as_bytes(), mode, None)?;
        }
    }
    Ok(())
}
