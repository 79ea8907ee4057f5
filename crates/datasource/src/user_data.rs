//! User data: what the first line says it is (inventory A5-008 to A5-012).

use std::io::Read;

use coracle_config::{Layer, Problem, yaml};
use flate2::read::MultiGzDecoder;

use crate::{Error, Result, format_error, volume::LIMIT};

/// User data by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserData {
    /// `#!`: a script, run when the console starts.
    Script(String),
    /// `#cloud-config`: YAML.
    CloudConfig(String),
    /// `#compose`: services in compose's first format, kept as `rancher.services`.
    Compose(String),
}

impl UserData {
    /// Tells what `raw` is, inflating gzip, and checks it. Empty user data is none.
    ///
    /// Keys of the wrong type go to `problems`; the rest is used.
    ///
    /// # Errors
    /// When it is not text, not YAML, or of no known kind.
    pub fn parse(file: &str, raw: &[u8], problems: &mut Vec<Problem>) -> Result<Option<Self>> {
        let text = decode(file, raw)?;
        let first = text.lines().next().unwrap_or_default().trim_end();
        if text.trim().is_empty() {
            return Ok(None);
        }
        if first.starts_with("#!") {
            return Ok(Some(Self::Script(text)));
        }
        match first {
            "#cloud-config" => {
                yaml::parse(file, &text).map_err(Error::Format)?;
                problems.extend(Layer::from_yaml(file, &text).1);
                Ok(Some(Self::CloudConfig(text)))
            }
            "#compose" => {
                yaml::parse(file, &text).map_err(Error::Format)?;
                Ok(Some(Self::Compose(text)))
            }
            other => Err(format_error(
                file,
                format!(
                    "the first line is {other:?}; user data starts with #cloud-config, #compose or #! (a script)"
                ),
            )),
        }
    }
}

fn decode(file: &str, raw: &[u8]) -> Result<String> {
    let mut plain = Vec::new();
    if raw.starts_with(&[0x1f, 0x8b]) {
        MultiGzDecoder::new(raw)
            .take(LIMIT + 1)
            .read_to_end(&mut plain)
            .map_err(|e| {
                format_error(
                    file,
                    format!("starts like gzip and cannot be inflated: {e}"),
                )
            })?;
        if plain.len() as u64 > LIMIT {
            return Err(format_error(
                file,
                format!("inflates to more than {LIMIT} bytes"),
            ));
        }
    } else {
        plain.extend_from_slice(raw);
    }
    String::from_utf8(plain).map_err(|_| format_error(file, "is not text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn parse(raw: &[u8]) -> std::result::Result<Option<UserData>, String> {
        UserData::parse("user_data", raw, &mut Vec::new()).map_err(|e| e.to_string())
    }

    #[test]
    fn is_what_its_first_line_says() {
        let script = "#!/bin/sh\necho hi\n";
        let cloud_config = "#cloud-config\nhostname: a\n";
        let compose = "#compose\nweb:\n  image: nginx\n";
        assert_eq!(
            parse(script.as_bytes()),
            Ok(Some(UserData::Script(script.into())))
        );
        assert_eq!(
            parse(cloud_config.as_bytes()),
            Ok(Some(UserData::CloudConfig(cloud_config.into())))
        );
        assert_eq!(
            parse(&gzip(cloud_config)),
            Ok(Some(UserData::CloudConfig(cloud_config.into())))
        );
        assert_eq!(
            parse(compose.as_bytes()),
            Ok(Some(UserData::Compose(compose.into())))
        );
        assert_eq!(parse(b" \n\n"), Ok(None));
    }

    #[test]
    fn broken_user_data_is_refused_with_the_reason() {
        assert_eq!(
            parse(b"\xff\xfe#"),
            Err("user_data: is not text in UTF-8".into())
        );
        assert!(
            parse(b"\x1f\x8bnope")
                .unwrap_err()
                .starts_with("user_data: starts like gzip and cannot be inflated")
        );
        let error = parse(b"#cloud-config\nhostname: [a\n").unwrap_err();
        assert!(
            error.starts_with("user_data:") && error.contains("not YAML"),
            "{error}"
        );
    }

    #[test]
    fn a_key_of_the_wrong_type_is_a_problem_not_an_error() {
        let mut problems = Vec::new();
        let text = "#cloud-config\nhostname: a\nrancher:\n  debug: [1]\n";
        let parsed = UserData::parse("user_data", text.as_bytes(), &mut problems).unwrap();
        assert_eq!(parsed, Some(UserData::CloudConfig(text.into())));
        let keys: Vec<_> = problems
            .iter()
            .map(|problem| problem.key.as_deref())
            .collect();
        assert_eq!(keys, [Some("rancher.debug")]);
    }
}
