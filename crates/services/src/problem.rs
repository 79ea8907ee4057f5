//! Complaints about definitions. They never stop a boot: the value is left out, the rest goes on.

use std::fmt;

/// Something in a definition that Coracle cannot use, for the people who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The service, or the catalogue entry.
    pub service: String,
    /// The key within it, if the problem has one.
    pub key: Option<String>,
    /// What is wrong and what happens instead.
    pub text: String,
}

impl Problem {
    pub(crate) fn new(service: &str, key: Option<&str>, text: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            key: key.map(String::from),
            text: text.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service {}: ", self.service)?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.text)
    }
}
