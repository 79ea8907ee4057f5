//! Output of programs in a form that can be compared: what differs from run to run (ids, digests, times, lengths of time) is replaced.

/// `text` with `<id>` for identifiers, `<time>` for times, `<ago>` for how long ago something was.
pub fn mask(text: &str) -> String {
    let mut masked = String::new();
    for line in text.split_inclusive('\n') {
        masked.push_str(&mask_line(line));
    }
    masked
}

fn mask_line(line: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for character in line.chars() {
        if character.is_ascii_alphanumeric()
            || matches!(character, '-' | ':' | '.') && !word.is_empty()
        {
            word.push(character);
            continue;
        }
        out.push_str(&mask_word(&std::mem::take(&mut word)));
        out.push(character);
    }
    out.push_str(&mask_word(&word));
    mask_ago(&out)
}

fn mask_word(word: &str) -> String {
    if is_time(word) {
        return "<time>".to_owned();
    }
    let mut parts: Vec<String> = Vec::new();
    for part in word.split(':') {
        let hex = part
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        parts.push(if hex && matches!(part.len(), 12 | 64) {
            "<id>".to_owned()
        } else {
            part.to_owned()
        });
    }
    parts.join(":")
}

/// `2026-01-02T03:04:05.678Z`
fn is_time(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 20
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes[10] == b'T'
        && bytes[13] == b':'
}

/// `3 seconds`, `About a minute`, `Less than a second`.
fn mask_ago(line: &str) -> String {
    let mut line = line.to_owned();
    for phrase in ["Less than a second", "About a minute", "About an hour"] {
        line = line.replace(phrase, "<ago>");
    }
    for unit in [
        "seconds", "second", "minutes", "hours", "days", "weeks", "months",
    ] {
        while let Some(end) = line.find(&format!(" {unit}")) {
            let start = line[..end]
                .rfind(|character: char| !character.is_ascii_digit())
                .map_or(0, |at| at + 1);
            if start == end {
                break;
            }
            line.replace_range(start..end + 1 + unit.len(), "<ago>");
        }
    }
    line
}

/// Runs of spaces inside a line become two, those at its end none.
pub fn squeeze(line: &str) -> String {
    let mut out = String::new();
    let mut spaces = 0;
    for character in line.chars() {
        if character == ' ' {
            spaces += 1;
            continue;
        }
        if spaces > 0 {
            let indent = out.is_empty();
            out.push_str(&" ".repeat(if indent { spaces } else { spaces.min(2) }));
            spaces = 0;
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_masked() {
        for (text, expected) in [
            ("0123456789ab\n", "<id>\n"),
            (
                "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "sha256:<id>",
            ),
            ("at 2026-01-02T03:04:05.678Z ok", "at <time> ok"),
            ("Up 3 seconds", "Up <ago>"),
            (
                "Exited (1) 11 seconds ago, 1 second ago",
                "Exited (1) <ago> ago, <ago> ago",
            ),
            ("Exited (0) Less than a second ago", "Exited (0) <ago> ago"),
            ("nothing 12 to mask", "nothing 12 to mask"),
        ] {
            assert_eq!(mask(text), expected);
        }
    }
}
