//! What is wrong with a piece of configuration.

use std::fmt;

/// One mistake in the configuration: where it is and what it says. Boot goes on without the part it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, or "kernel command line".
    pub file: String,
    /// Line in the file, counted from 1, when known.
    pub line: Option<u64>,
    /// Dotted key, when the problem belongs to one.
    pub key: Option<String>,
    /// What is wrong and what was expected.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.text)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_file_line_and_key() {
        let full = Problem {
            file: "a.yml".into(),
            line: Some(3),
            key: Some("rancher.debug".into()),
            text: "not a boolean".into(),
        };
        let bare = Problem {
            file: "a.yml".into(),
            line: None,
            key: None,
            text: "cannot be read".into(),
        };
        assert_eq!(full.to_string(), "a.yml:3: rancher.debug: not a boolean");
        assert_eq!(bare.to_string(), "a.yml: cannot be read");
    }
}
