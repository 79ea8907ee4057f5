//! `cargo xtask image --twice`: the proof that packages and sources alone decide what an image is.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

/// What has to be the same, bit by bit.
const RESULTS: [&str; 3] = ["vmlinuz", "initrd", "system.erofs"];

/// Compares the results of two builds.
///
/// # Errors
/// Names the results that differ, and where they do first.
pub fn compare(first: &Path, second: &Path) -> anyhow::Result<()> {
    let mut different = Vec::new();
    for name in RESULTS {
        let [a, b] = [first, second].map(|directory| {
            let path = directory.join(name);
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        });
        if let Some(offset) = first_difference(&a?, &b?) {
            different.push(format!("{name} (from byte {offset} on)"));
        }
    }
    if !different.is_empty() {
        bail!(
            "two builds from the same packages differ in {}; compare {} and {}",
            different.join(", "),
            first.display(),
            second.display()
        );
    }
    println!("built twice, identical: {}", RESULTS.join(", "));
    Ok(())
}

fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let at = a.iter().zip(b).position(|(a, b)| a != b);
    at.or((a.len() != b.len()).then_some(a.len().min(b.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named_with_its_place() {
        for (system, expected) in [
            (&b"abc"[..], None),
            (b"abd", Some("system.erofs (from byte 2 on)")),
            (b"abcd", Some("system.erofs (from byte 3 on)")),
        ] {
            let [first, second] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
            for (directory, system) in [(&first, &b"abc"[..]), (&second, system)] {
                for name in ["vmlinuz", "initrd"] {
                    fs::write(directory.path().join(name), "same").expect("a file");
                }
                fs::write(directory.path().join("system.erofs"), system).expect("a file");
            }
            let result = compare(first.path(), second.path()).map_err(|error| error.to_string());
            match expected {
                None => assert_eq!(result, Ok(())),
                Some(text) => assert!(result.expect_err("different").contains(text)),
            }
        }
    }
}
