//! `HostConfig.LogConfig`: the log drivers and their options.

mod selection;
mod tag;

use std::collections::HashMap;

use bollard_stubs::models::HostConfigLogConfig;

use crate::error::{Error, Result};
use crate::logs::{Rotation, SyslogTarget};

pub use selection::Selection;

/// Where a driver sends the output.
#[derive(Clone, Debug, PartialEq)]
pub enum LogDriver {
    /// Nowhere.
    None,
    /// To a file of Docker's JSON lines, for everybody.
    JsonFile,
    /// To a file of the engine's own.
    Local,
    /// To a syslog service.
    Syslog(SyslogTarget),
}

/// Which file of a container holds its log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFile {
    /// Of `json-file`.
    Json,
    /// Of `local`.
    Local,
    /// What `docker logs` reads when the driver sends the output elsewhere (Docker's "dual logging").
    Cache,
}

/// The files of a log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogFiles {
    /// Which.
    pub file: LogFile,
    /// When a new one is begun.
    pub rotation: Rotation,
    /// Whether the old ones are compressed.
    pub compress: bool,
}

/// How a container's output is logged.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The driver.
    pub driver: LogDriver,
    /// What `docker logs` reads; `None` when it cannot.
    pub files: Option<LogFiles>,
    /// What is added to each entry.
    pub selection: Selection,
    /// Bytes that may wait to be logged; then output is dropped. `None`: the container waits instead.
    pub buffer: Option<usize>,
}

/// The rotation of `local` and of the cache.
const LOCAL: Rotation = Rotation {
    max_size: Some(20 << 20),
    max_files: 5,
};
/// Default of `max-buffer-size`, bytes.
const BUFFER: u64 = 1 << 20;

/// Options of every driver.
const COMMON: &[&str] = &["mode", "max-buffer-size"];
const JSON_FILE: &[&str] = &[
    "max-size",
    "max-file",
    "compress",
    "labels",
    "labels-regex",
    "env",
    "env-regex",
    "tag",
];
const LOCAL_OPTIONS: &[&str] = &["max-size", "max-file", "compress"];
const SYSLOG: &[&str] = &[
    "syslog-address",
    "syslog-facility",
    "syslog-format",
    "syslog-tls-ca-cert",
    "syslog-tls-cert",
    "syslog-tls-key",
    "syslog-tls-skip-verify",
    "tag",
    "labels",
    "labels-regex",
    "env",
    "env-regex",
    "cache-disabled",
    "cache-max-size",
    "cache-max-file",
    "cache-compress",
];

/// Parses the driver and its options; `default` is the rotation of `json-file` when none is asked for.
///
/// # Errors
/// Docker's texts for drivers and options that do not exist.
pub fn parse(config: Option<&HostConfigLogConfig>, default: Rotation) -> Result<LogOptions> {
    let name = match config.and_then(|config| config.typ.as_deref()) {
        None | Some("") => "json-file",
        Some(name) => name,
    };
    let empty = HashMap::new();
    let given = config
        .and_then(|config| config.config.as_ref())
        .unwrap_or(&empty);
    let known = match name {
        // Docker takes any options for it.
        "none" => None,
        "json-file" => Some(JSON_FILE),
        "local" => Some(LOCAL_OPTIONS),
        "syslog" => Some(SYSLOG),
        other => {
            return Err(Error::Invalid(format!(
                "error looking up logging plugin {other}: plugin \"{other}\" not found"
            )));
        }
    };
    let mut keys: Vec<_> = given.keys().map(String::as_str).collect();
    keys.sort_unstable();
    if let Some(known) = known
        && let Some(key) = keys
            .iter()
            .find(|key| !known.contains(key) && !COMMON.contains(key))
    {
        return Err(Error::Invalid(format!(
            "unknown log opt '{key}' for {name} log driver"
        )));
    }
    let (driver, files) = match name {
        "none" => (LogDriver::None, None),
        "json-file" => (
            LogDriver::JsonFile,
            Some(files(given, "", LogFile::Json, default, false)?),
        ),
        "local" => (
            LogDriver::Local,
            Some(files(given, "", LogFile::Local, LOCAL, true)?),
        ),
        _ => {
            let disabled = flag(given, "cache-disabled", false)?;
            let cache = files(given, "cache-", LogFile::Cache, LOCAL, true)?;
            (
                LogDriver::Syslog(SyslogTarget::parse(given)?),
                (!disabled).then_some(cache),
            )
        }
    };
    Ok(LogOptions {
        driver,
        files,
        selection: Selection::parse(given)?,
        buffer: buffer(given)?,
    })
}

fn files(
    given: &HashMap<String, String>,
    prefix: &str,
    file: LogFile,
    default: Rotation,
    compress: bool,
) -> Result<LogFiles> {
    let option = |name: &str| given.get(&format!("{prefix}{name}"));
    let mut rotation = default;
    if let Some(value) = option("max-size") {
        rotation.max_size = match value.as_str() {
            "-1" => None,
            text => Some(size("max-size", text)?),
        };
    }
    if let Some(value) = option("max-file") {
        let count = value.parse().ok().filter(|count| *count >= 1);
        rotation.max_files =
            count.ok_or_else(|| Error::Invalid("max-file cannot be less than 1".to_owned()))?;
    }
    let useless = rotation.max_files < 2 || rotation.max_size.is_none();
    let asked = option("compress").is_some();
    let compress = flag(given, &format!("{prefix}compress"), compress && !useless)?;
    if compress && useless && asked {
        return Err(Error::Invalid(
            "compress cannot be true when max-file is less than 2 or max-size is not set"
                .to_owned(),
        ));
    }
    Ok(LogFiles {
        file,
        rotation,
        compress,
    })
}

fn buffer(given: &HashMap<String, String>) -> Result<Option<usize>> {
    let asked = given.get("max-buffer-size");
    match given.get("mode").map_or("", String::as_str) {
        "" | "blocking" if asked.is_some() => Err(Error::Invalid(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'".to_owned(),
        )),
        "" | "blocking" => Ok(None),
        "non-blocking" => {
            let bytes = asked.map_or(Ok(BUFFER), |text| size("max-buffer-size", text))?;
            Ok(Some(usize::try_from(bytes).unwrap_or(usize::MAX)))
        }
        mode => Err(Error::Invalid(format!(
            "logger: logging mode \"{mode}\" is not supported"
        ))),
    }
}

fn flag(given: &HashMap<String, String>, name: &str, default: bool) -> Result<bool> {
    match given.get(name).map(String::as_str) {
        None => Ok(default),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(text) => Err(Error::Invalid(format!(
            "strconv.ParseBool: parsing \"{text}\": invalid syntax"
        ))),
    }
}

fn size(name: &str, text: &str) -> Result<u64> {
    parse_size(text)
        .ok_or_else(|| Error::Invalid(format!("invalid value for {name}: invalid size: '{text}'")))
}

/// `10m`, `1g`, `512k`, `100` (bytes).
pub fn parse_size(text: &str) -> Option<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Rotation = Rotation {
        max_size: Some(25 << 20),
        max_files: 2,
    };

    type Parsed = (Option<LogFiles>, Option<usize>);

    fn of(driver: &str, options: &[(&str, &str)]) -> Result<Parsed, String> {
        let options = options
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        let config = HostConfigLogConfig {
            typ: Some(driver.into()),
            config: Some(options),
        };
        parse(Some(&config), DEFAULT)
            .map(|options| (options.files, options.buffer))
            .map_err(|error| error.to_string())
    }

    fn files(
        file: LogFile,
        max_size: Option<u64>,
        max_files: u32,
        compress: bool,
    ) -> Option<LogFiles> {
        let rotation = Rotation {
            max_size,
            max_files,
        };
        Some(LogFiles {
            file,
            rotation,
            compress,
        })
    }

    #[test]
    fn drivers_and_options_are_known() {
        let mib = Some(20 << 20);
        type Options = &'static [(&'static str, &'static str)];
        let table: &[(&str, Options, Parsed)] = &[
            ("none", &[("anything", "1")], (None, None)),
            (
                "json-file",
                &[],
                (files(LogFile::Json, DEFAULT.max_size, 2, false), None),
            ),
            (
                "json-file",
                &[("max-size", "10k"), ("max-file", "5"), ("compress", "true")],
                (files(LogFile::Json, Some(10 << 10), 5, true), None),
            ),
            (
                "json-file",
                &[("max-size", "-1")],
                (files(LogFile::Json, None, 2, false), None),
            ),
            ("local", &[], (files(LogFile::Local, mib, 5, true), None)),
            (
                "local",
                &[("max-file", "1"), ("mode", "non-blocking")],
                (files(LogFile::Local, mib, 1, false), Some(1 << 20)),
            ),
            (
                "syslog",
                &[("syslog-address", "udp://127.0.0.1")],
                (files(LogFile::Cache, mib, 5, true), None),
            ),
            (
                "syslog",
                &[
                    ("cache-disabled", "true"),
                    ("syslog-address", "udp://127.0.0.1"),
                ],
                (None, None),
            ),
            (
                "json-file",
                &[("mode", "non-blocking"), ("max-buffer-size", "4m")],
                (
                    files(LogFile::Json, DEFAULT.max_size, 2, false),
                    Some(4 << 20),
                ),
            ),
        ];
        for (driver, options, expected) in table {
            assert_eq!(
                of(driver, options).as_ref(),
                Ok(expected),
                "{driver} {options:?}"
            );
        }
    }

    #[test]
    fn what_is_not_known_is_refused_in_dockers_words() {
        type Options = &'static [(&'static str, &'static str)];
        let table: &[(&str, Options, &str)] = &[
            (
                "json-file",
                &[("max-size", "x")],
                "invalid value for max-size: invalid size: 'x'",
            ),
            (
                "json-file",
                &[("max-file", "0")],
                "max-file cannot be less than 1",
            ),
            (
                "json-file",
                &[("nope", "1")],
                "unknown log opt 'nope' for json-file log driver",
            ),
            (
                "local",
                &[("labels", "a")],
                "unknown log opt 'labels' for local log driver",
            ),
            (
                "json-file",
                &[("compress", "true"), ("max-file", "1")],
                "compress cannot be true when max-file is less than 2 or max-size is not set",
            ),
            (
                "json-file",
                &[("compress", "x")],
                "strconv.ParseBool: parsing \"x\": invalid syntax",
            ),
            (
                "json-file",
                &[("max-buffer-size", "1m")],
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
            ),
            (
                "json-file",
                &[("mode", "fast")],
                "logger: logging mode \"fast\" is not supported",
            ),
            (
                "fluentd",
                &[],
                "error looking up logging plugin fluentd: plugin \"fluentd\" not found",
            ),
        ];
        for (driver, options, expected) in table {
            assert_eq!(
                of(driver, options),
                Err((*expected).to_owned()),
                "{driver} {options:?}"
            );
        }
    }
}
