//! User data: what kind it is, decided by its first line (inventory A5-008 to A5-012).

use std::io::Read as _;

use coracle_config::{Problem, yaml};
use serde_json::{Value, json};

use crate::Error;

/// Bytes that user data may have, unpacked.
pub(crate) const LIMIT: u64 = 16 << 20;

/// The name under which problems are reported: NoCloud's name of the file, close enough to the config drive's `user_data`.
const NAME: &str = "user-data";

/// Decoded user data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserData {
    /// A cloud-config that is known to be YAML.
    CloudConfig(String),
    /// A script that the console runs when it starts.
    Script(Vec<u8>),
}

impl UserData {
    /// Decodes what the platform gave; `None` when that is nothing.
    ///
    /// # Errors
    /// When it is of an unknown kind, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, Error> {
        let unpacked;
        let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
            unpacked = gunzip(bytes)?;
            &unpacked
        } else {
            bytes
        };
        if bytes.len() as u64 > LIMIT {
            return Err(Error::TooLarge);
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        if bytes.starts_with(b"#!") {
            return Ok(Some(Self::Script(bytes.to_owned())));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| unknown(bytes))?;
        match text.lines().next().unwrap_or_default().trim_end() {
            "#cloud-config" => cloud_config(text).map(Some),
            "#compose" => compose(text).map(Some),
            line => Err(unsupported(line)
                .map_or_else(|| unknown(bytes), |kind| Error::Unsupported { kind })),
        }
    }
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut unpacked = Vec::new();
    // One byte more than allowed, to see that there is more.
    flate2::read::MultiGzDecoder::new(bytes)
        .take(LIMIT + 1)
        .read_to_end(&mut unpacked)
        .map_err(Error::Gzip)?;
    Ok(unpacked)
}

fn cloud_config(text: &str) -> Result<UserData, Error> {
    let tree = yaml::parse(NAME, text).map_err(Error::CloudConfig)?.tree;
    expect_map(&tree)?;
    Ok(UserData::CloudConfig(text.to_owned()))
}

/// `#compose`: services, which become `rancher.services` (A5-010).
fn compose(text: &str) -> Result<UserData, Error> {
    let services = yaml::parse(NAME, text).map_err(Error::CloudConfig)?.tree;
    expect_map(&services)?;
    let tree = json!({"rancher": {"services": services}});
    Ok(UserData::CloudConfig(format!(
        "#cloud-config\n{}",
        yaml::emit(&tree).map_err(Error::CloudConfig)?
    )))
}

fn expect_map(tree: &Value) -> Result<(), Error> {
    if tree.is_object() {
        return Ok(());
    }
    let text = "is no map of keys; write \"key: value\" lines".into();
    Err(Error::CloudConfig(Problem {
        file: NAME.into(),
        line: None,
        key: None,
        text,
    }))
}

/// cloud-init's other kinds, to say so instead of calling them unknown.
fn unsupported(first_line: &str) -> Option<&'static str> {
    let kinds = [
        ("## template: jinja", "jinja template"),
        ("#cloud-boothook", "boothook"),
        ("#include", "include"),
        ("#part-handler", "part handler"),
        ("#cloud-config-archive", "cloud-config archive"),
        ("Content-Type: multipart", "MIME multipart"),
        ("MIME-Version:", "MIME multipart"),
        ("{", "Ignition"),
    ];
    kinds
        .iter()
        .find(|(start, _)| first_line.starts_with(start))
        .map(|(_, kind)| *kind)
}

fn unknown(bytes: &[u8]) -> Error {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    Error::UnknownKind {
        start: String::from_utf8_lossy(&line[..line.len().min(40)])
            .trim_end()
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_first_line_decides() {
        let config = "#cloud-config\nhostname: a\n";
        let crlf = "#cloud-config \r\nhostname: a\r\n";
        let cloud = |text: &str| Some(UserData::CloudConfig(text.into()));
        let cases: [(&[u8], Option<UserData>); 7] = [
            (config.as_bytes(), cloud(config)),
            (&gzip(config.as_bytes()), cloud(config)),
            (crlf.as_bytes(), cloud(crlf)),
            (b"\xef\xbb\xbf#cloud-config\n", cloud("#cloud-config\n")),
            (
                b"#!/bin/sh\n\xff",
                Some(UserData::Script(b"#!/bin/sh\n\xff".to_vec())),
            ),
            (
                b"#compose\nweb:\n  image: x\n",
                cloud("#cloud-config\nrancher:\n  services:\n    web:\n      image: x\n"),
            ),
            (b" \n", None),
        ];
        for (bytes, want) in cases {
            assert_eq!(
                UserData::decode(bytes).unwrap(),
                want,
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let cases: [(&[u8], &str); 7] = [
            (
                b"hostname: a\n",
                "user data of an unknown kind: it begins with \"hostname: a\"; the first line must be #cloud-config, #compose or \
                 #!/path/of/interpreter",
            ),
            (
                b"\xff\xfe\n",
                "user data of an unknown kind: it begins with \"\u{fffd}\u{fffd}\"; the first line must be #cloud-config, #compose or \
                 #!/path/of/interpreter",
            ),
            (
                b"#cloud-config\n- a\n",
                "user-data: is no map of keys; write \"key: value\" lines; nothing of it is used",
            ),
            (b"#cloud-config\na: [\nb: 1", "user-data:"),
            (
                b"MIME-Version: 1.0\n",
                "user data of kind MIME multipart is not supported; use #cloud-config or a #! script",
            ),
            (
                b"{\"ignition\": {}}",
                "user data of kind Ignition is not supported; use #cloud-config or a #! script",
            ),
            (
                b"\x1f\x8bnonsense and more of it",
                "user data is damaged gzip: ",
            ),
        ];
        for (bytes, want) in cases {
            let text = UserData::decode(bytes).unwrap_err().to_string();
            assert!(text.starts_with(want) && !text.contains('\n'), "{text}");
        }
        assert!(matches!(
            UserData::decode(&gzip(&vec![b' '; LIMIT as usize + 1])),
            Err(Error::TooLarge)
        ));
    }
}
