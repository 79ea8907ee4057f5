//! Compressed streams, recognised by their first bytes.

use std::io::{self, Cursor, Read};

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Most memory for one, in KiB: enough for `xz -9`, which wants 65 MiB.
const XZ_MEMORY: u32 = 128 << 10;
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
/// Known, but not supported: nothing writes it any more.
const BZIP2: &[u8] = b"BZh";

/// Reads what `reader` holds, decompressed when it is gzip, zstd or xz.
///
/// # Errors
/// When it cannot be read, or is compressed by bzip2.
pub fn decoder<'a>(mut reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::with_capacity(XZ.len());
    reader
        .by_ref()
        .take(XZ.len() as u64)
        .read_to_end(&mut start)?;
    let is = |magic| start.starts_with(magic);
    let (gzip, zstd, xz) = (is(GZIP), is(ZSTD), is_xz(&start));
    if is(BZIP2) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "compressed with bzip2, which is not supported: use gzip, zstd or xz",
        ));
    }
    let whole = Cursor::new(start).chain(reader);
    Ok(if gzip {
        Box::new(MultiGzDecoder::new(whole))
    } else if zstd {
        Box::new(zstd::Decoder::new(whole)?)
    } else if xz {
        Box::new(self::xz(whole))
    } else {
        Box::new(whole)
    })
}

/// Whether this is the beginning of an xz file (xz file format 1.2.1, section 2.1.1.1); [`XZ_MAGIC`] bytes are enough.
pub fn is_xz(start: &[u8]) -> bool {
    start.starts_with(XZ)
}

/// Bytes that tell an xz file.
pub const XZ_MAGIC: usize = XZ.len();

/// Decompresses xz, with as much memory as `xz -9` needs. Several streams one after the other are one file, as for gzip and `xz -d`.
pub fn xz<R: Read>(reader: R) -> impl Read + use<R> {
    XzReader::new_mem_limit(reader, true, XZ_MEMORY)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use lzma_rust2::{XzOptions, XzWriter};

    use super::*;

    fn decoded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decoder(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn plain_gzip_zstd_and_xz_are_read() {
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
        let mut xz = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
        xz.write_all(&text).unwrap();
        let xz = xz.finish().unwrap();
        let twice = [xz.clone(), xz.clone()].concat();
        assert_eq!(decoded(&xz).unwrap(), text);
        assert_eq!(decoded(&twice).unwrap(), text.repeat(2));
        assert!(decoded(&xz[..xz.len() - 9]).is_err());
        // A dictionary of 4 GiB, which would be taken from the machine at once (xz file format 1.2.1, 3.1 and 5.3.1).
        let mut greedy = xz;
        greedy[16] = 40;
        let mut sum = flate2::Crc::new();
        sum.update(&greedy[12..20]);
        greedy[20..24].copy_from_slice(&sum.sum().to_le_bytes());
        let error = decoded(&greedy).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory, "{error}");
    }

    #[test]
    fn other_compressions_are_named() {
        let error = decoded(b"BZh91AY").unwrap_err().to_string();
        assert_eq!(
            error,
            "compressed with bzip2, which is not supported: use gzip, zstd or xz"
        );
    }
}
