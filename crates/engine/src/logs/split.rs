//! Cutting a byte stream into log entries.

/// Longest entry; a longer line becomes several entries, all but the last without a newline (Docker's rule).
const LONGEST: usize = 16 * 1024;

/// Splits output into lines, keeping an unfinished one for later.
#[derive(Debug, Default)]
pub struct LineSplitter {
    rest: Vec<u8>,
}

impl LineSplitter {
    /// One that has got the beginning of a line already.
    pub fn new(rest: Vec<u8>) -> Self {
        Self { rest }
    }

    /// The entries that `chunk` completes.
    pub fn push(&mut self, mut chunk: &[u8]) -> Vec<Vec<u8>> {
        let mut entries = Vec::new();
        while !chunk.is_empty() {
            let room = LONGEST - self.rest.len();
            let window = &chunk[..chunk.len().min(room)];
            match window.iter().position(|&byte| byte == b'\n') {
                Some(newline) => {
                    self.rest.extend_from_slice(&chunk[..=newline]);
                    chunk = &chunk[newline + 1..];
                    entries.push(std::mem::take(&mut self.rest));
                }
                None => {
                    self.rest.extend_from_slice(window);
                    chunk = &chunk[window.len()..];
                    if self.rest.len() == LONGEST {
                        entries.push(std::mem::take(&mut self.rest));
                    }
                }
            }
        }
        entries
    }

    /// What is left at the end of the stream.
    pub fn finish(self) -> Option<Vec<u8>> {
        (!self.rest.is_empty()).then_some(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_entries_and_long_lines_are_several() {
        let mut splitter = LineSplitter::default();
        assert_eq!(splitter.push(b"one\ntw"), [b"one\n".to_vec()]);
        assert_eq!(
            splitter.push(b"o\n\nthree"),
            [b"two\n".to_vec(), b"\n".to_vec()]
        );
        let long = vec![b'x'; LONGEST * 2];
        let sizes: Vec<_> = splitter.push(&long).iter().map(Vec::len).collect();
        assert_eq!(sizes, [LONGEST, LONGEST]);
        assert_eq!(splitter.finish(), Some(b"xxxxx".to_vec()));
        assert_eq!(LineSplitter::default().finish(), None);
    }
}
