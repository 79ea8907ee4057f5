//! `HostConfig.LogConfig`.

use std::collections::BTreeMap;

use bollard_stubs::models::{ContainerConfig, HostConfigLogConfig};

use crate::error::{Error, Result};
use crate::logs::Rotation;

/// How a container's output is logged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LogDriver {
    /// Not at all.
    None,
    /// In Docker's JSON lines.
    JsonFile {
        /// When a new file is begun.
        rotation: Rotation,
        /// Labels whose values are added to each entry.
        labels: Vec<String>,
        /// Variables whose values are added to each entry.
        env: Vec<String>,
    },
}

/// Parses the driver and its options; `default` is the rotation when none is asked for.
///
/// # Errors
/// Docker's texts for drivers and options that do not exist.
pub fn parse(config: Option<&HostConfigLogConfig>, default: Rotation) -> Result<LogDriver> {
    let driver = config
        .and_then(|config| config.typ.as_deref())
        .unwrap_or("json-file");
    let empty = Default::default();
    let options = config
        .and_then(|config| config.config.as_ref())
        .unwrap_or(&empty);
    match driver {
        "none" => Ok(LogDriver::None),
        "json-file" | "" => {
            let mut rotation = default;
            let list = |name: &str| {
                let words = options
                    .get(name)
                    .map(String::as_str)
                    .unwrap_or_default()
                    .split(',');
                words
                    .filter(|word| !word.is_empty())
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            let (labels, env) = (list("labels"), list("env"));
            for (key, value) in options {
                match key.as_str() {
                    "max-size" => {
                        rotation.max_size = match value.as_str() {
                            "-1" => None,
                            text => Some(parse_size(text).ok_or_else(|| {
                                Error::Invalid(format!(
                                    "invalid value for max-size: invalid size: '{value}'"
                                ))
                            })?),
                        };
                    }
                    "max-file" => {
                        rotation.max_files = value
                            .parse()
                            .ok()
                            .filter(|count| *count >= 1)
                            .ok_or_else(|| {
                                Error::Invalid("max-file cannot be less than 1".to_owned())
                            })?;
                    }
                    // What is compressed and tagged elsewhere is plain here.
                    "labels" | "env" | "tag" | "labels-regex" | "env-regex" | "mode"
                    | "max-buffer-size" | "compress" => {}
                    other => {
                        return Err(Error::Invalid(format!(
                            "unknown log opt '{other}' for json-file log driver"
                        )));
                    }
                }
            }
            Ok(LogDriver::JsonFile {
                rotation,
                labels,
                env,
            })
        }
        other => Err(Error::Invalid(format!(
            "error looking up logging plugin {other}: plugin \"{other}\" not found"
        ))),
    }
}

/// `10m`, `1g`, `512k`, `100` (bytes).
fn parse_size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, factor) = match lower.as_bytes().last()? {
        b'k' => (&lower[..lower.len() - 1], 1 << 10),
        b'm' => (&lower[..lower.len() - 1], 1 << 20),
        b'g' => (&lower[..lower.len() - 1], 1 << 30),
        _ => (lower, 1),
    };
    digits
        .parse::<u64>()
        .ok()
        .filter(|number| *number > 0)?
        .checked_mul(factor)
}

/// What the options `labels` and `env` add to each entry.
pub fn attributes(
    config: &ContainerConfig,
    labels: &[String],
    env: &[String],
) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::new();
    for name in labels {
        if let Some(value) = config.labels.as_ref().and_then(|map| map.get(name)) {
            attributes.insert(name.clone(), value.clone());
        }
    }
    for entry in config.env.iter().flatten() {
        if let Some((key, value)) = entry.split_once('=')
            && env.iter().any(|name| name == key)
        {
            attributes.insert(key.to_owned(), value.to_owned());
        }
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Rotation = Rotation {
        max_size: Some(25 << 20),
        max_files: 2,
    };

    fn of(driver: &str, options: &[(&str, &str)]) -> Result<LogDriver, String> {
        let options = options
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        let config = HostConfigLogConfig {
            typ: Some(driver.into()),
            config: Some(options),
        };
        parse(Some(&config), DEFAULT).map_err(|error| error.to_string())
    }

    #[test]
    fn drivers_and_options_are_known_or_refused() {
        let json = |max_size, max_files| {
            Ok(LogDriver::JsonFile {
                rotation: Rotation {
                    max_size,
                    max_files,
                },
                labels: vec![],
                env: vec![],
            })
        };
        type Options = &'static [(&'static str, &'static str)];
        let table: &[(&str, Options, Result<LogDriver, String>)] = &[
            ("none", &[], Ok(LogDriver::None)),
            ("json-file", &[], json(Some(25 << 20), 2)),
            (
                "json-file",
                &[("max-size", "10k"), ("max-file", "5")],
                json(Some(10 << 10), 5),
            ),
            ("json-file", &[("max-size", "-1")], json(None, 2)),
            (
                "json-file",
                &[("max-size", "x")],
                Err("invalid value for max-size: invalid size: 'x'".into()),
            ),
            (
                "json-file",
                &[("max-file", "0")],
                Err("max-file cannot be less than 1".into()),
            ),
            (
                "json-file",
                &[("nope", "1")],
                Err("unknown log opt 'nope' for json-file log driver".into()),
            ),
            (
                "fluentd",
                &[],
                Err("error looking up logging plugin fluentd: plugin \"fluentd\" not found".into()),
            ),
        ];
        for (driver, options, expected) in table {
            assert_eq!(&of(driver, options), expected, "{driver} {options:?}");
        }
    }
}
