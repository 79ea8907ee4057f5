/// Removes what a terminal would not show as text: escape sequences and carriage returns.
pub(crate) fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {}
            '\x1b' => skip_escape(&mut chars),
            _ => plain.push(c),
        }
    }
    plain
}

/// Skips the rest of an escape sequence (ECMA-48): CSI up to its final byte, OSC up to BEL or ST, others one byte.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            for c in chars.by_ref() {
                if ('@'..='~').contains(&c) {
                    break;
                }
            }
        }
        Some(']') => {
            while let Some(c) = chars.next() {
                if c == '\x07' {
                    break;
                }
                if c == '\x1b' {
                    chars.next();
                    break;
                }
            }
        }
        _ => {}
    }
}

/// The last lines of a text, for error messages.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_escape_sequences() {
        let cases = [
            (&b"a\r\nb"[..], "a\nb"),
            (b"\x1b[?2004h$ \x1b[1;31mred\x1b[0m", "$ red"),
            (b"\x1b]0;title\x07x\x1b]0;t\x1b\\y", "xy"),
            (b"end\x1b", "end"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(plain(bytes), expected);
        }
    }

    #[test]
    fn tail_keeps_the_last_lines() {
        assert_eq!(tail("1\n2\n3\n", 2), "2\n3");
        assert_eq!(tail("1", 2), "1");
    }
}
