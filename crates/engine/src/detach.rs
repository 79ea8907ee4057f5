//! Detach keys: a sequence in a terminal's input that leaves the container running (`ctrl-p,ctrl-q`).

use crate::error::{Error, Result};

/// Docker's default sequence.
const DEFAULT: &[u8] = &[16, 17];

/// Parses `ctrl-a,b,ctrl-\`; empty is the default.
///
/// # Errors
/// Docker's text for something that is no key.
pub fn parse_keys(text: &str) -> Result<Vec<u8>> {
    if text.is_empty() {
        return Ok(DEFAULT.to_vec());
    }
    text.split(',')
        .map(|key| {
            let unknown =
                || Error::Invalid(format!("Invalid detach keys: unknown character: '{key}'"));
            match key.strip_prefix("ctrl-") {
                None => match key.as_bytes() {
                    [byte] => Ok(*byte),
                    _ => Err(unknown()),
                },
                Some(key) => match key.as_bytes() {
                    [byte @ b'a'..=b'z'] => Ok(byte - b'a' + 1),
                    [b'@'] => Ok(0),
                    [byte @ b'['..=b'_'] => Ok(byte - b'[' + 27),
                    _ => Err(unknown()),
                },
            }
        })
        .collect()
}

/// Looks for the sequence in a stream of input.
#[derive(Debug)]
pub struct DetachFilter {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachFilter {
    /// A filter for these keys.
    pub fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// What to pass on of `chunk`, and whether the sequence is complete. Keys that may begin it are held back.
    pub fn push(&mut self, chunk: &[u8]) -> (Vec<u8>, bool) {
        let mut pass = Vec::with_capacity(chunk.len());
        for &byte in chunk {
            if self.keys.get(self.matched) == Some(&byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return (pass, true);
                }
                continue;
            }
            pass.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if self.keys.first() == Some(&byte) {
                self.matched = 1;
            } else {
                pass.push(byte);
            }
        }
        (pass, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_letters_and_control_characters() {
        for (text, expected) in [
            ("", Some(vec![16, 17])),
            ("ctrl-a,d", Some(vec![1, b'd'])),
            ("ctrl-@,ctrl-[,ctrl-_", Some(vec![0, 27, 31])),
            ("ctrl-1", None),
            ("ab", None),
        ] {
            assert_eq!(parse_keys(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn the_sequence_is_found_over_chunks_and_the_rest_passes() {
        let mut filter = DetachFilter::new(vec![16, 17]);
        assert_eq!(filter.push(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(filter.push(b"c"), (b"\x10c".to_vec(), false));
        assert_eq!(filter.push(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(filter.push(b"\x11rest"), (vec![], true));
    }
}
