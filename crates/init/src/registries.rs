//! What the configuration says of registries, for System Docker.

use std::fs;
use std::path::{Path, PathBuf};

use coracle_config::Config;
use coracle_distribution::{Credentials, Proxies, Settings};

/// Where Debian keeps the bundle of certificate authorities, below a root.
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// `rancher.registry_auths`, what is about registries of `rancher.system_docker`, and proxies; with what is wrong with them.
///
/// PID 1's own root has no certificate authorities: those of the bundled images do, in one of the layers below `bundled`.
pub fn settings(config: &Config, bundled: &Path) -> (Settings, Vec<String>) {
    let mut settings = Settings::default();
    let mut problems = Vec::new();
    settings.ca_bundles.extend(bundles(&bundled.join("layers")));
    let docker = &config.rancher.system_docker;
    settings
        .insecure_registries
        .clone_from(&docker.insecure_registry);
    settings
        .registry_mirrors
        .extend(docker.registry_mirror.clone());
    let network = &config.rancher.network;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    settings.proxies = Proxies {
        http: text(&network.http_proxy),
        https: text(&network.https_proxy),
        none: text(&network.no_proxy),
    };
    for (registry, value) in &config.rancher.registry_auths {
        match serde_json::from_value::<Credentials>(value.clone()) {
            Ok(credentials) => {
                let credentials = credentials.unfolded();
                settings.registry_auths.insert(registry.clone(), credentials);
            }
            // The error could quote a password.
            Err(_) => problems.push(format!(
                "rancher.registry_auths.{registry} is left out: username and password, or auth, must be texts"
            )),
        }
    }
    (settings, problems)
}

/// In the order of their names, so that it is the same one each time.
fn bundles(layers: &Path) -> Vec<PathBuf> {
    let mut bundles: Vec<_> = fs::read_dir(layers)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join(BUNDLE)))
        .filter(|bundle| bundle.exists())
        .collect();
    bundles.sort();
    bundles
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_configuration_becomes_settings() {
        let root = tempfile::tempdir().unwrap();
        let certificates = root.path().join("layers/b/etc/ssl/certs");
        fs::create_dir_all(&certificates).unwrap();
        fs::create_dir_all(root.path().join("layers/a")).unwrap();
        let bundle = certificates.join("ca-certificates.crt");
        fs::write(&bundle, "").unwrap();
        let config: Config = serde_json::from_value(json!({"rancher": {
            "system_docker": {
                "insecure_registry": ["reg.lan:5000"],
                "registry_mirror": "https://mirror.example",
            },
            "network": {"https_proxy": "http://proxy.lan:3128"},
            "registry_auths": {
                "https://index.docker.io/v1/": {"auth": "YW5uOnNlY3JldA=="},
                "reg.lan:5000": {"username": "bob", "password": 12},
            },
        }}))
        .unwrap();
        let (settings, problems) = super::settings(&config, root.path());
        assert_eq!(settings.insecure_registries, ["reg.lan:5000"]);
        assert_eq!(settings.registry_mirrors, ["https://mirror.example"]);
        assert_eq!(settings.ca_bundles.last(), Some(&bundle));
        assert_eq!(settings.proxies.https, "http://proxy.lan:3128");
        let users: Vec<_> = settings
            .registry_auths
            .iter()
            .map(|(registry, credentials)| (registry.as_str(), credentials.username.as_str()))
            .collect();
        assert_eq!(users, [("https://index.docker.io/v1/", "ann")]);
        assert_eq!(
            problems,
            [
                "rancher.registry_auths.reg.lan:5000 is left out: username and password, or auth, must be texts"
            ]
        );
    }
}
