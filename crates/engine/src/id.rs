//! Identifiers of containers, execs and anonymous volumes: 64 hexadecimal digits.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// A new random identifier. As in Docker, the first twelve digits are never all decimal, because a short id that
/// looks like a number confuses clients.
pub fn generate() -> String {
    loop {
        let id = hex(&random::<32>());
        if !id[..12].bytes().all(|byte| byte.is_ascii_digit()) {
            return id;
        }
    }
}

/// Random bytes of the kernel. Without them (impossible once `/dev/urandom` is seeded) the process waits.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => {
                tracing::error!("getrandom: {error}");
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
    bytes
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

/// The twelve digits that people see.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_64_hex_digits_and_differ() {
        let (a, b) = (generate(), generate());
        assert_eq!(a.len(), 64);
        assert!(a.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(a, b);
        assert_eq!(short(&a).len(), 12);
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
    }
}
