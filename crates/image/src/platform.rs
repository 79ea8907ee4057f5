//! Platforms of images (OCI image-index.md, `platform`) and which of them a machine runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Operating system, architecture and its variant, in Go's words.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Platform {
    /// `amd64`
    pub architecture: String,
    /// `linux`
    pub os: String,
    /// `v8`
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// The platform of this machine.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            variant: String::new(),
        }
    }

    /// Parses `os[/architecture[/variant]]` or an architecture alone, with the usual other names.
    ///
    /// # Errors
    /// Docker's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let valid = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        if parts.len() > 3 || !parts.iter().all(valid) {
            return Err(format!(
                "\"{text}\" is an invalid OS component of \"{text}\": OSAndVersion specifier component must match \
                 \"^([A-Za-z0-9_-]+)(?:\\\\(([A-Za-z0-9_.-]*)\\\\))?$\": invalid argument"
            ));
        }
        let host = Self::host();
        Ok(match parts[..] {
            ["linux"] => host,
            [os, architecture] => Self::normal(os, architecture, ""),
            [os, architecture, variant] => Self::normal(os, architecture, variant),
            _ => Self::normal(&host.os, text, ""),
        })
    }

    fn normal(os: &str, architecture: &str, variant: &str) -> Self {
        let (architecture, variant) = (architecture.to_lowercase(), variant.to_lowercase());
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("i386", _) => ("386", ""),
            ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", _) => ("arm", "v7"),
            ("armel", _) => ("arm", "v6"),
            ("arm", "" | "7") => ("arm", "v7"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "6") => ("arm", "v6"),
            other => other,
        };
        Self {
            architecture: architecture.to_owned(),
            os: os.to_lowercase(),
            variant: variant.to_owned(),
        }
    }

    /// How well an image of the platform `image` does for this one: the smaller the better; `None` when it does not.
    pub fn rank(&self, image: &Self) -> Option<u32> {
        let wanted = Self::normal(&self.os, &self.architecture, &self.variant);
        let image = Self::normal(&image.os, &image.architecture, &image.variant);
        if (&image.os, &image.architecture) != (&wanted.os, &wanted.architecture) {
            return None;
        }
        let level = |variant: &str| variant.strip_prefix('v').unwrap_or("0").parse::<u32>().ok();
        match wanted.architecture.as_str() {
            _ if image.variant == wanted.variant => Some(0),
            // Newer processors run what was made for older ones.
            "arm" | "amd64" => level(&wanted.variant)?.checked_sub(level(&image.variant)?),
            _ => None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_have_several_names() {
        for (text, expected) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("Linux/ARM64/v8", "linux/arm64"),
            ("arm64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("windows/amd64", "windows/amd64"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(Platform::parse(text).unwrap().to_string(), expected);
        }
        for text in ["", "a/b/c/d", "linux/", "linux/a b"] {
            assert!(Platform::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_nearest_variant_is_the_best() {
        let rank = |wanted: &str, image: (&str, &str, &str)| {
            let image = Platform {
                os: image.0.into(),
                architecture: image.1.into(),
                variant: image.2.into(),
            };
            Platform::parse(wanted).unwrap().rank(&image)
        };
        for (wanted, image, expected) in [
            ("linux/amd64", ("linux", "amd64", ""), Some(0)),
            ("linux/amd64", ("linux", "amd64", "v1"), Some(0)),
            ("linux/amd64", ("linux", "amd64", "v3"), None),
            ("linux/amd64/v3", ("linux", "amd64", "v2"), Some(1)),
            ("linux/amd64", ("linux", "arm64", "v8"), None),
            ("linux/amd64", ("windows", "amd64", ""), None),
            ("linux/amd64", ("unknown", "unknown", ""), None),
            ("linux/arm64", ("linux", "arm64", "v8"), Some(0)),
            ("linux/arm", ("linux", "arm", "v6"), Some(1)),
            ("linux/arm/v6", ("linux", "arm", "v7"), None),
        ] {
            assert_eq!(rank(wanted, image), expected, "{wanted} {image:?}");
        }
    }
}
