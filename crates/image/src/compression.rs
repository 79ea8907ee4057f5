//! Compressed streams, recognised by their first bytes.

use std::io::{self, Cursor, Read};

use flate2::read::MultiGzDecoder;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Known, but not supported: Docker's own tools do not write them.
const OTHERS: [(&[u8], &str); 2] = [
    (b"BZh", "bzip2"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
];

/// Reads what `reader` holds, decompressed when it is gzip or zstd.
///
/// # Errors
/// When it cannot be read, or is compressed by bzip2 or xz.
pub fn decoder<'a>(mut reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::with_capacity(6);
    reader.by_ref().take(6).read_to_end(&mut start)?;
    if let Some((_, name)) = OTHERS.iter().find(|(magic, _)| start.starts_with(magic)) {
        let message = format!("compressed with {name}, which is not supported: use gzip or zstd");
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    let (gzip, zstd) = (start.starts_with(GZIP), start.starts_with(ZSTD));
    let whole = Cursor::new(start).chain(reader);
    Ok(if gzip {
        Box::new(MultiGzDecoder::new(whole))
    } else if zstd {
        Box::new(zstd::Decoder::new(whole)?)
    } else {
        Box::new(whole)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn decoded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decoder(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn plain_gzip_and_zstd_are_read() {
        let text = b"some text".repeat(100);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        let twice = [gzip.clone(), gzip.clone()].concat();
        assert_eq!(decoded(&text).unwrap(), text);
        assert_eq!(decoded(b"x").unwrap(), b"x");
        assert_eq!(decoded(&gzip).unwrap(), text);
        assert_eq!(decoded(&twice).unwrap(), text.repeat(2));
        assert_eq!(
            decoded(&zstd::encode_all(&text[..], 1).unwrap()).unwrap(),
            text
        );
    }

    #[test]
    fn other_compressions_are_named() {
        let error = decoded(b"BZh91AY").unwrap_err().to_string();
        assert_eq!(
            error,
            "compressed with bzip2, which is not supported: use gzip or zstd"
        );
    }
}
