//! SHA-256, the name of everything that is cached or addressed by content.

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

/// A running hash that is also a writer.
#[derive(Debug, Default, Clone)]
pub struct Digest(Sha256);

impl Digest {
    /// Adds bytes with their length, so that two fields cannot run into each other.
    pub fn field(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// The hash as bytes.
    pub fn bytes(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    /// The hash as lower-case hex.
    pub fn hex(self) -> String {
        hex(&self.bytes())
    }
}

impl Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hash of bytes as lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A UUID (RFC 9562, version 8) made of a hash: equal content, equal UUID.
pub fn uuid(hash: &[u8; 32]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_keeps_the_hash_but_for_version_and_variant() {
        assert_eq!(uuid(&[0xff; 32]), "ffffffff-ffff-8fff-bfff-ffffffffffff");
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let (mut a, mut b) = (Digest::default(), Digest::default());
        a.field("ab").field("c");
        b.field("a").field("bc");
        assert_ne!(a.hex(), b.hex());
    }
}
