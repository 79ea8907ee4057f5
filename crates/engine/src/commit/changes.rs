//! The Dockerfile instructions that `docker commit --change` takes.

use bollard_stubs::models::{ContainerConfig, HealthConfig};

use crate::error::{Error, Result};
use crate::mounts::clean;

/// Applies instructions, a line each.
///
/// # Errors
/// Docker's texts.
pub fn apply(config: &mut ContainerConfig, lines: &str) -> Result<()> {
    for line in lines.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, rest) = line
            .split_once(|c: char| c.is_ascii_whitespace())
            .unwrap_or((line, ""));
        one(config, name, rest.trim())?;
    }
    Ok(())
}

fn one(config: &mut ContainerConfig, given: &str, rest: &str) -> Result<()> {
    let name = given.to_ascii_uppercase();
    let invalid = |text: String| Err(Error::Invalid(text));
    let single = |rest: &str| match words(rest).as_slice() {
        [word] => Ok(word.clone()),
        _ => Err(Error::Invalid(format!(
            "{name} requires exactly one argument"
        ))),
    };
    match name.as_str() {
        "CMD" => {
            config.cmd = Some(command(config, rest));
            return Ok(());
        }
        "ENTRYPOINT" => {
            config.entrypoint = Some(command(config, rest));
            // Docker: the image's command does not fit another entry point.
            return Ok(());
        }
        "HEALTHCHECK" => {
            config.healthcheck = Some(health(rest)?);
            return Ok(());
        }
        "USER" => {
            config.user = Some(single(rest)?);
            return Ok(());
        }
        "STOPSIGNAL" => {
            let signal = single(rest)?;
            crate::signals::parse(&signal)?;
            config.stop_signal = Some(signal);
            return Ok(());
        }
        "WORKDIR" => {
            let dir = single(rest)?;
            let base = config.working_dir.clone().unwrap_or_default();
            config.working_dir = Some(clean(&if dir.starts_with('/') {
                dir
            } else {
                format!("{base}/{dir}")
            }));
            return Ok(());
        }
        "ENV" | "LABEL" | "EXPOSE" | "VOLUME" | "ONBUILD" => {}
        _ => return invalid(format!("{given} is not a valid change command")),
    }
    if rest.is_empty() {
        return invalid(format!("{name} requires at least one argument"));
    }
    match name.as_str() {
        "ENV" => {
            let env = config.env.get_or_insert_default();
            for (key, value) in pairs(&name, rest)? {
                env.retain(|entry| entry.split('=').next() != Some(&key));
                env.push(format!("{key}={value}"));
            }
        }
        "LABEL" => config
            .labels
            .get_or_insert_default()
            .extend(pairs(&name, rest)?),
        "EXPOSE" => {
            let ports = config.exposed_ports.get_or_insert_default();
            for word in words(rest) {
                let (port, protocol) = word.split_once('/').unwrap_or((&word, "tcp"));
                if port.parse::<u16>().is_err() || !matches!(protocol, "tcp" | "udp" | "sctp") {
                    return invalid(format!("invalid containerPort: {word}"));
                }
                add(ports, format!("{port}/{protocol}"));
            }
        }
        "VOLUME" => {
            let volumes = config.volumes.get_or_insert_default();
            for path in list(rest).unwrap_or_else(|| words(rest)) {
                add(volumes, path);
            }
        }
        _ => config
            .on_build
            .get_or_insert_default()
            .push(rest.to_owned()),
    }
    Ok(())
}

fn add(list: &mut Vec<String>, entry: String) {
    if !list.contains(&entry) {
        list.push(entry);
    }
}

/// A JSON list of words.
fn list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// The JSON form, or a line for the shell.
fn command(config: &ContainerConfig, text: &str) -> Vec<String> {
    list(text).unwrap_or_else(|| {
        let shell = config.shell.clone().filter(|shell| !shell.is_empty());
        let shell = shell.unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()]);
        shell.into_iter().chain([text.to_owned()]).collect()
    })
}

/// `key=value key="other value"`, or `key value` for a single one.
fn pairs(name: &str, text: &str) -> Result<Vec<(String, String)>> {
    let words = words(text);
    let first = words.first().cloned().unwrap_or_default();
    if !first.contains('=') {
        let Some((key, value)) = text.split_once(|c: char| c.is_ascii_whitespace()) else {
            return Err(Error::Invalid(format!("{name} must have two arguments")));
        };
        return Ok(vec![(key.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some(("", _)) | None => Err(Error::Invalid(format!(
            "Syntax error - can't find = in \"{word}\". Must be of the form: name=value"
        ))),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
    };
    words.iter().map(pair).collect()
}

/// Words between blanks; quotes and backslashes as in a shell, without variables.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, c) if c.is_ascii_whitespace() => words.extend(word.take()),
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn health(text: &str) -> Result<HealthConfig> {
    let mut check = HealthConfig::default();
    let mut rest = text;
    loop {
        let (word, after) = rest
            .split_once(|c: char| c.is_ascii_whitespace())
            .unwrap_or((rest, ""));
        let after = after.trim();
        let span = |text: &str| {
            duration(text)
                .ok_or_else(|| Error::Invalid(format!("time: invalid duration \"{text}\"")))
        };
        match word.split_once('=') {
            Some(("--interval", text)) => check.interval = Some(span(text)?),
            Some(("--timeout", text)) => check.timeout = Some(span(text)?),
            Some(("--start-period", text)) => check.start_period = Some(span(text)?),
            Some(("--start-interval", text)) => check.start_interval = Some(span(text)?),
            Some(("--retries", text)) => {
                check.retries = Some(text.parse().map_err(|_| {
                    Error::Invalid(format!("--retries must be a number (not \"{text}\")"))
                })?);
            }
            _ => {
                check.test = Some(match word.to_ascii_uppercase().as_str() {
                    "NONE" if after.is_empty() => vec!["NONE".into()],
                    "CMD" if !after.is_empty() => match list(after) {
                        Some(words) => ["CMD".to_owned()].into_iter().chain(words).collect(),
                        None => vec!["CMD-SHELL".into(), after.to_owned()],
                    },
                    "CMD" => {
                        return Err(Error::Invalid(
                            "Missing command after HEALTHCHECK CMD".into(),
                        ));
                    }
                    other => {
                        return Err(Error::Invalid(format!(
                            "Unknown type \"{other}\" in HEALTHCHECK (try CMD)"
                        )));
                    }
                });
                return Ok(check);
            }
        }
        rest = after;
    }
}

/// Go's `1m30s` in nanoseconds.
fn duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let factor = match unit {
            "h" => 3.6e12,
            "m" => 6e10,
            "s" => 1e9,
            "ms" => 1e6,
            "us" | "µs" => 1e3,
            "ns" => 1.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    (!text.is_empty() && total < 9e18).then_some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(lines: &str) -> Result<serde_json::Value, String> {
        let mut config = ContainerConfig {
            env: Some(vec!["A=old".into(), "B=old".into()]),
            ..ContainerConfig::default()
        };
        apply(&mut config, lines).map_err(|error| error.to_string())?;
        Ok(serde_json::to_value(config).unwrap())
    }

    #[test]
    fn instructions_change_the_configuration() {
        let env = ["A=old", "B=old"];
        let test = serde_json::json!(["CMD-SHELL", "x y"]);
        for (lines, expected) in [
            (
                r#"CMD ["a", "b"]"#,
                serde_json::json!({"Env": env, "Cmd": ["a", "b"]}),
            ),
            (
                "cmd echo $HOME",
                serde_json::json!({"Env": env, "Cmd": ["/bin/sh", "-c", "echo $HOME"]}),
            ),
            (
                "ENTRYPOINT [\"/e\"]\nUSER app\nSTOPSIGNAL SIGINT",
                serde_json::json!({"Env": env, "Entrypoint": ["/e"], "User": "app", "StopSignal": "SIGINT"}),
            ),
            (
                r#"ENV A=1 C="two words" D=\"x"#,
                serde_json::json!({"Env": ["B=old", "A=1", "C=two words", "D=\"x"]}),
            ),
            ("ENV B a b", serde_json::json!({"Env": ["A=old", "B=a b"]})),
            (
                "LABEL a=b",
                serde_json::json!({"Env": env, "Labels": {"a": "b"}}),
            ),
            (
                "EXPOSE 80 53/udp 80/tcp",
                serde_json::json!({"Env": env, "ExposedPorts": {"80/tcp": {}, "53/udp": {}}}),
            ),
            (
                "VOLUME /a /b\nVOLUME [\"/a\"]",
                serde_json::json!({"Env": env, "Volumes": {"/a": {}, "/b": {}}}),
            ),
            (
                "WORKDIR /a\nWORKDIR ../b",
                serde_json::json!({"Env": env, "WorkingDir": "/b"}),
            ),
            (
                "HEALTHCHECK --interval=1m30s --retries=2 CMD x y",
                serde_json::json!({"Env": env, "Healthcheck": {"Test": test, "Interval": 90_000_000_000_i64, "Retries": 2}}),
            ),
            (
                "HEALTHCHECK NONE\nONBUILD RUN x\n\n# comment",
                serde_json::json!({"Env": env, "Healthcheck": {"Test": ["NONE"]}, "OnBuild": ["RUN x"]}),
            ),
        ] {
            assert_eq!(changed(lines), Ok(expected), "{lines}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for (lines, expected) in [
            ("RUN x", "RUN is not a valid change command"),
            ("ENV", "ENV requires at least one argument"),
            ("ENV A", "ENV must have two arguments"),
            ("USER a b", "USER requires exactly one argument"),
            ("EXPOSE many", "invalid containerPort: many"),
            ("STOPSIGNAL x", "invalid signal: x"),
            (
                "HEALTHCHECK --interval=soon CMD x",
                "time: invalid duration \"soon\"",
            ),
            (
                "HEALTHCHECK curl",
                "Unknown type \"CURL\" in HEALTHCHECK (try CMD)",
            ),
            (
                "LABEL a=b c",
                "Syntax error - can't find = in \"c\". Must be of the form: name=value",
            ),
        ] {
            assert_eq!(changed(lines), Err(expected.to_owned()), "{lines}");
        }
    }
}
