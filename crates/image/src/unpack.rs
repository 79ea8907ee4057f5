//! The helper process `coracle unpack …`: everything that reads untrusted archives.
//!
//! * `load --root DIR`: an image archive on stdin becomes layers and configurations below `DIR`.
//! * `layer --target DIR [--diff-id DIGEST]`: a layer on stdin becomes the tree `DIR`, to which the process is confined;
//!   its recipe (see `recipe.rs`) goes to descriptor 3. With a digest it must be the archive's.
//!
//! Results go to stdout, one JSON [`Message`] a line; the last one says why when the exit code is not 0.

pub(crate) mod archive;
pub(crate) mod layer;
pub(crate) mod manifest;
pub(crate) mod oci_layout;
pub(crate) mod spool;
mod tree;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::Error;
use crate::files::COPIED_AT_ONCE;

/// A line of the helper's output.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// A layer is being unpacked.
    Layer(Digest),
    /// A layer was unpacked: the digest of its archive, the bytes of its files.
    Unpacked { diff_id: Digest, size: u64 },
    /// An image is complete; the names it shall have, in full form.
    Image { id: Digest, names: Vec<String> },
    /// It failed.
    Error(String),
}

impl Message {
    /// Prints it at once; an error means that nobody listens any more.
    fn send(&self) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&line)?;
        out.flush()
    }
}

/// Runs the helper. `args` are those after `coracle unpack`.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    if coracle_sys::spawn::end_with_parent().is_err() {
        return ExitCode::FAILURE;
    }
    let result = match Arguments::parse(args) {
        Ok(Arguments::Load { root }) => input().and_then(|input| archive::load(input, &root)),
        Ok(Arguments::Layer { target, diff_id }) => {
            input().and_then(|input| layer::run(input, &target, diff_id.as_ref()))
        }
        Err(message) => Err(Error::Archive(message)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever started it has gone when this fails.
            let _ = Message::Error(error.to_string()).send();
            ExitCode::FAILURE
        }
    }
}

/// Standard input, read in larger pieces than by [`io::stdin`].
fn input() -> Result<BufReader<File>, Error> {
    let input = coracle_sys::fd::take_inherited(0).map_err(Error::io("use", "descriptor 0"))?;
    Ok(BufReader::with_capacity(COPIED_AT_ONCE, input.into()))
}

#[derive(Debug, Eq, PartialEq)]
enum Arguments {
    Load {
        root: PathBuf,
    },
    Layer {
        target: PathBuf,
        diff_id: Option<Digest>,
    },
}

impl Arguments {
    fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let usage = "usage: unpack load --root DIR | unpack layer --target DIR [--diff-id DIGEST]";
        let args: Vec<_> = args.into_iter().collect();
        let words: Vec<_> = args
            .iter()
            .map(|arg| arg.to_str().unwrap_or_default())
            .collect();
        match words[..] {
            ["load", "--root", _] => Ok(Self::Load {
                root: PathBuf::from(&args[2]),
            }),
            ["layer", "--target", _] => Ok(Self::Layer {
                target: PathBuf::from(&args[2]),
                diff_id: None,
            }),
            ["layer", "--target", _, "--diff-id", digest] => {
                let diff_id = digest
                    .parse()
                    .map_err(|error| format!("unpack layer: {error}"))?;
                Ok(Self::Layer {
                    target: PathBuf::from(&args[2]),
                    diff_id: Some(diff_id),
                })
            }
            _ => Err(usage.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let parse = |line: &str| Arguments::parse(line.split(' ').map(OsString::from));
        assert_eq!(
            parse("load --root /r"),
            Ok(Arguments::Load { root: "/r".into() })
        );
        let digest = Digest::of(b"");
        let line = format!("layer --target /t --diff-id {digest}");
        assert_eq!(
            parse(&line),
            Ok(Arguments::Layer {
                target: "/t".into(),
                diff_id: Some(digest)
            })
        );
        assert_eq!(
            parse("layer --target /t"),
            Ok(Arguments::Layer {
                target: "/t".into(),
                diff_id: None
            })
        );
        assert!(parse("load").unwrap_err().starts_with("usage: "));
        assert!(
            parse("layer --target /t --diff-id x")
                .unwrap_err()
                .contains("invalid digest \"x\"")
        );
    }
}
