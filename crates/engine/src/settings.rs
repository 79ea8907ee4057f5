//! What the engine does by default for every container: the keys of Docker's `daemon.json` that make sense here.

use std::collections::BTreeMap;

use bollard_stubs::models::{HostConfig, HostConfigLogConfig, ResourcesUlimits};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::logs::Rotation;
use crate::{log_options, spec};

/// Default size of `/dev/shm`, bytes.
const SHM_SIZE: i64 = 64 << 20;

/// The settings, named as in `daemon.json`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Log driver of containers that name none; empty is `json-file`.
    pub log_driver: String,
    /// Its options.
    pub log_opts: BTreeMap<String, String>,
    /// Limits of containers that do not set them, by name.
    pub default_ulimits: BTreeMap<String, Ulimit>,
    /// Size of `/dev/shm`: `64M`.
    pub default_shm_size: Option<String>,
    /// Give every container an init.
    pub init: bool,
    /// No container gains privileges.
    pub no_new_privileges: bool,
}

/// One limit of `default-ulimits`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, rename_all = "PascalCase")]
pub struct Ulimit {
    /// May be left out.
    pub name: String,
    /// -1 is no limit.
    pub hard: i64,
    /// -1 is no limit.
    pub soft: i64,
}

impl Settings {
    /// Reads a `daemon.json`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(json: &str) -> Result<Self> {
        let settings: Self = serde_json::from_str(json)
            .map_err(|error| Error::Invalid(format!("daemon.json: {error}")))?;
        settings.check()?;
        Ok(settings)
    }

    /// Adds what arguments of dockerd say (`--init`, `--default-ulimit nofile=64:128`, `--log-opt=max-size=1m`); gives
    /// those that mean nothing here.
    pub fn apply_arguments(&mut self, arguments: &[String]) -> Vec<String> {
        let mut unknown = Vec::new();
        let mut rest = arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            let (name, inline) = argument
                .split_once('=')
                .map_or((argument.as_str(), None), |(name, value)| {
                    (name, Some(value.to_owned()))
                });
            let is_flag = matches!(name, "--init" | "--no-new-privileges");
            let value = match inline {
                Some(value) => value,
                None if is_flag => "true".to_owned(),
                None => match rest.next_if(|next| !next.starts_with("--")) {
                    Some(value) => value.clone(),
                    None => String::new(),
                },
            };
            if self.apply(name, &value).is_none() {
                unknown.push(argument.clone());
            }
        }
        unknown
    }

    fn apply(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "--init" => self.init = value.parse().ok()?,
            "--no-new-privileges" => self.no_new_privileges = value.parse().ok()?,
            "--log-driver" if !value.is_empty() => self.log_driver = value.to_owned(),
            "--log-opt" => {
                let (key, value) = value.split_once('=')?;
                self.log_opts.insert(key.to_owned(), value.to_owned());
            }
            "--default-shm-size" => {
                log_options::parse_size(value)?;
                self.default_shm_size = Some(value.to_owned());
            }
            "--default-ulimit" => {
                let (key, limits) = value.split_once('=')?;
                let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
                let ulimit = Ulimit {
                    name: key.to_owned(),
                    soft: soft.parse().ok()?,
                    hard: hard.parse().ok()?,
                };
                self.default_ulimits.insert(key.to_owned(), ulimit);
            }
            _ => return None,
        }
        Some(())
    }

    /// Checks what only the use of a setting would show.
    ///
    /// # Errors
    /// Docker's texts.
    pub fn check(&self) -> Result<()> {
        let rotation = Rotation {
            max_size: None,
            max_files: 1,
        };
        log_options::parse(Some(&self.log_config()), rotation)?;
        if let Some(size) = &self.default_shm_size
            && log_options::parse_size(size).is_none()
        {
            return Err(Error::Invalid(format!("invalid size: '{size}'")));
        }
        for ulimit in self.ulimits() {
            let name = ulimit.name.as_deref().unwrap_or_default();
            if spec::rlimit(&ulimit).is_none() {
                return Err(Error::Invalid(format!("invalid ulimit type: {name}")));
            }
        }
        Ok(())
    }

    /// Log driver of containers that name none.
    pub fn log_driver(&self) -> &str {
        match self.log_driver.as_str() {
            "" => "json-file",
            driver => driver,
        }
    }

    /// The log driver and its options.
    fn log_config(&self) -> HostConfigLogConfig {
        let driver = self.log_driver();
        HostConfigLogConfig {
            typ: Some(driver.to_owned()),
            config: Some(self.log_opts.clone().into_iter().collect()),
        }
    }

    fn ulimits(&self) -> impl Iterator<Item = ResourcesUlimits> {
        self.default_ulimits
            .iter()
            .map(|(name, ulimit)| ResourcesUlimits {
                name: Some(name.clone()),
                soft: Some(ulimit.soft),
                hard: Some(ulimit.hard),
            })
    }

    /// Fills what a container leaves open and what is kept with it. Docker: options of the default driver go to
    /// containers that use this driver, unless they give some of their own.
    pub fn fill(&self, host: &mut HostConfig) {
        if host.shm_size.unwrap_or(0) == 0 {
            let size = self.default_shm_size.as_deref();
            let size = size.and_then(log_options::parse_size);
            host.shm_size =
                Some(size.map_or(SHM_SIZE, |size| i64::try_from(size).unwrap_or(i64::MAX)));
        }
        let default = self.log_config();
        let log = host.log_config.get_or_insert_default();
        if log.typ.as_deref().unwrap_or_default().is_empty() {
            log.typ.clone_from(&default.typ);
        }
        let given = log.config.get_or_insert_default();
        if log.typ == default.typ {
            for (key, value) in default.config.into_iter().flatten() {
                given.entry(key).or_insert(value);
            }
        }
    }

    /// The limits of a container: its own, and the default ones that it does not set.
    pub fn all_ulimits(&self, host: &HostConfig) -> Vec<ResourcesUlimits> {
        let own = host.ulimits.clone().unwrap_or_default();
        let default = self
            .ulimits()
            .filter(|ulimit| own.iter().all(|own| own.name != ulimit.name));
        let more: Vec<_> = default.collect();
        own.into_iter().chain(more).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_fill_what_containers_leave_open() {
        let settings = Settings::parse(
            r#"{"log-driver": "local", "log-opts": {"max-size": "1m"}, "default-shm-size": "1M", "init": true,
                "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 64, "Soft": 32}}}"#,
        )
        .unwrap();
        let mut host = HostConfig::default();
        settings.fill(&mut host);
        let log = host.log_config.clone().unwrap();
        assert_eq!(
            (host.shm_size, log.typ.as_deref()),
            (Some(1 << 20), Some("local"))
        );
        assert_eq!(log.config.unwrap()["max-size"], "1m");
        let own = |name: &str, soft| ResourcesUlimits {
            name: Some(name.into()),
            soft: Some(soft),
            hard: Some(64),
        };
        assert_eq!(settings.all_ulimits(&host), [own("nofile", 32)]);
        host.ulimits = Some(vec![own("nofile", 8), own("core", 0)]);
        assert_eq!(
            settings.all_ulimits(&host),
            [own("nofile", 8), own("core", 0)]
        );
        let mut other = HostConfig {
            log_config: Some(HostConfigLogConfig {
                typ: Some("none".into()),
                config: None,
            }),
            shm_size: Some(5),
            ..HostConfig::default()
        };
        settings.fill(&mut other);
        assert_eq!(other.shm_size, Some(5));
        assert_eq!(other.log_config.unwrap().config, Some(Default::default()));
    }

    #[test]
    fn arguments_of_dockerd_are_understood_or_named() {
        let mut settings = Settings::default();
        let arguments = [
            "--init",
            "--storage-driver",
            "overlay2",
            "--log-driver=local",
            "--log-opt",
            "max-file=3",
            "--default-ulimit=nofile=5:6",
            "--default-shm-size",
            "big",
        ];
        let unknown = settings.apply_arguments(&arguments.map(str::to_owned));
        assert_eq!(unknown, ["--storage-driver", "--default-shm-size"]);
        assert!(settings.init);
        assert_eq!(settings.log_opts["max-file"], "3");
        assert_eq!(
            (
                settings.default_ulimits["nofile"].soft,
                settings.log_driver.as_str()
            ),
            (5, "local")
        );
        settings.check().unwrap();
    }

    #[test]
    fn wrong_settings_are_refused() {
        for (json, expected) in [
            (r#"{"bip": "x"}"#, "daemon.json: unknown field `bip`"),
            (
                r#"{"log-driver": "fluentd"}"#,
                "error looking up logging plugin fluentd: plugin \"fluentd\" not found",
            ),
            (r#"{"default-shm-size": "x"}"#, "invalid size: 'x'"),
            (
                r#"{"default-ulimits": {"nope": {}}}"#,
                "invalid ulimit type: nope",
            ),
        ] {
            let error = Settings::parse(json).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
