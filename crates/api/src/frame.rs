//! Docker's multiplexed streams: every piece of output has a header of 8 bytes, `[stream, 0, 0, 0, length as big-endian
//! u32]` (Docker API, "Attach to a container": stream format).

use bytes::{BufMut, BytesMut};
use coracle_engine::Stream;

use crate::version::ApiVersion;

/// Length of a header, bytes.
pub const HEADER: usize = 8;

/// How output travels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// As it is: of a terminal, where there is only one stream.
    Raw,
    /// With headers.
    Multiplexed,
}

impl Framing {
    /// The framing of a process with or without a terminal.
    pub fn of(tty: bool) -> Self {
        if tty { Self::Raw } else { Self::Multiplexed }
    }

    /// The media type. Clients older than API 1.42 know only one.
    pub fn content_type(self, version: ApiVersion) -> &'static str {
        match self {
            Self::Multiplexed if version >= ApiVersion::new(1, 42) => {
                "application/vnd.docker.multiplexed-stream"
            }
            _ => "application/vnd.docker.raw-stream",
        }
    }

    /// What goes before a piece of output of this length.
    pub fn header(self, stream: Stream, length: usize) -> Option<[u8; HEADER]> {
        // Pieces are at most some kilobytes; what does not fit would not be one.
        let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        (self == Self::Multiplexed).then_some([stream.frame_type(), 0, 0, 0, a, b, c, d])
    }

    /// Appends a piece of output to `out`.
    pub fn put(self, out: &mut BytesMut, stream: Stream, piece: &[u8]) {
        out.reserve(HEADER + piece.len());
        if let Some(header) = self.header(stream, piece.len()) {
            out.put_slice(&header);
        }
        out.put_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_get_a_header_only_without_a_terminal() {
        for (framing, stream, expected) in [
            (Framing::Raw, Stream::Stdout, &b"hi\n"[..]),
            (
                Framing::Multiplexed,
                Stream::Stdout,
                b"\x01\0\0\0\0\0\0\x03hi\n",
            ),
            (
                Framing::Multiplexed,
                Stream::Stderr,
                b"\x02\0\0\0\0\0\0\x03hi\n",
            ),
        ] {
            let mut out = BytesMut::new();
            framing.put(&mut out, stream, b"hi\n");
            framing.put(&mut out, stream, b"hi\n");
            assert_eq!(out, [expected, expected].concat());
        }
        let header = Framing::Multiplexed.header(Stream::Stdout, 0x0102_0304);
        assert_eq!(header, Some([1, 0, 0, 0, 1, 2, 3, 4]));
    }

    #[test]
    fn the_media_type_depends_on_the_clients_age() {
        let raw = "application/vnd.docker.raw-stream";
        let multiplexed = "application/vnd.docker.multiplexed-stream";
        for (tty, minor, expected) in [
            (true, 41, raw),
            (true, 42, raw),
            (false, 41, raw),
            (false, 42, multiplexed),
        ] {
            assert_eq!(
                Framing::of(tty).content_type(ApiVersion::new(1, minor)),
                expected
            );
        }
    }
}
