//! Identifiers of file systems and partitions.

use std::fmt;

/// A 128-bit identifier, in the order in which it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// From 16 bytes in printing order (file systems, LUKS). All zero means "none".
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 16] = bytes.try_into().ok()?;
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// From GPT's mixed order (UEFI specification, appendix A: the first three fields are little-endian).
    #[must_use]
    pub fn from_gpt(bytes: &[u8]) -> Option<Self> {
        let b: [u8; 16] = bytes.try_into().ok()?;
        let mut swapped = b;
        swapped[..4].copy_from_slice(&[b[3], b[2], b[1], b[0]]);
        swapped[4..6].copy_from_slice(&[b[5], b[4]]);
        swapped[6..8].copy_from_slice(&[b[7], b[6]]);
        Self::from_bytes(&swapped)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_both_byte_orders() {
        let bytes: Vec<u8> = (0..16).collect();
        assert_eq!(
            Uuid::from_bytes(&bytes).unwrap().to_string(),
            "00010203-0405-0607-0809-0a0b0c0d0e0f"
        );
        assert_eq!(
            Uuid::from_gpt(&bytes).unwrap().to_string(),
            "03020100-0504-0706-0809-0a0b0c0d0e0f"
        );
        assert_eq!(Uuid::from_bytes(&[0; 16]), None);
        assert_eq!(Uuid::from_bytes(&[1; 3]), None);
    }
}
