//! Log entries as `GET /containers/{name}/logs` sends them.

use bytes::BytesMut;
use coracle_engine::LogLine;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::frame::Framing;

/// What Go's `url.QueryEscape` leaves as it is, besides letters and digits.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// How entries look.
#[derive(Clone, Copy, Debug)]
pub struct LogFormat {
    /// With or without frames.
    pub framing: Framing,
    /// Begin with the time.
    pub timestamps: bool,
    /// Then the labels and variables that the log driver was told to keep.
    pub details: bool,
}

impl LogFormat {
    /// Appends an entry to `out`.
    pub fn put(self, out: &mut BytesMut, line: &LogLine) {
        if !self.timestamps && !self.details {
            return self.framing.put(out, line.stream, line.text.as_bytes());
        }
        let mut text = String::new();
        if self.timestamps {
            text.push_str(&coracle_engine::time::format_fixed(line.time));
            text.push(' ');
        }
        if self.details {
            let pairs = line
                .attributes
                .iter()
                .map(|(key, value)| format!("{}={}", escape(key), escape(value)));
            text.push_str(&pairs.collect::<Vec<_>>().join(","));
            text.push(' ');
        }
        text.push_str(&line.text);
        self.framing.put(out, line.stream, text.as_bytes());
    }
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED)
        .to_string()
        .replace("%20", "+")
}

#[cfg(test)]
mod tests {
    use coracle_engine::Stream;

    use super::*;

    #[test]
    fn entries_begin_with_what_was_asked_for() {
        let line = LogLine {
            stream: Stream::Stderr,
            time: "2026-01-02T03:04:05.5Z".parse().unwrap(),
            text: "hi\n".into(),
            attributes: [
                ("a".to_owned(), "b c".to_owned()),
                ("d".to_owned(), "é".to_owned()),
            ]
            .into(),
        };
        for (timestamps, details, expected) in [
            (false, false, "hi\n"),
            (true, false, "2026-01-02T03:04:05.500000000Z hi\n"),
            (false, true, "a=b+c,d=%C3%A9 hi\n"),
            (
                true,
                true,
                "2026-01-02T03:04:05.500000000Z a=b+c,d=%C3%A9 hi\n",
            ),
        ] {
            let mut out = BytesMut::new();
            LogFormat {
                framing: Framing::Raw,
                timestamps,
                details,
            }
            .put(&mut out, &line);
            assert_eq!(out, expected.as_bytes());
            let mut framed = BytesMut::new();
            LogFormat {
                framing: Framing::Multiplexed,
                timestamps,
                details,
            }
            .put(&mut framed, &line);
            assert_eq!(
                framed[..8],
                [2, 0, 0, 0, 0, 0, 0, u8::try_from(expected.len()).unwrap()]
            );
            assert_eq!(framed[8..], *expected.as_bytes());
        }
    }
}
