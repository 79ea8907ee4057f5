//! The closure check: every program of a layer finds its interpreter and its libraries in the layer or the layers below.
//!
//! Packages are listed without their dependencies, so this check is what makes an incomplete list an error of the build
//! instead of an error of the running machine.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{LittleEndian, ReadRef};

use super::tree::{Entry, Kind, Tree};

/// Where the dynamic linker looks, besides a file's own run path (ld.so(8), Debian's defaults).
const LIBRARY_DIRS: &[&str] = &["usr/lib/x86_64-linux-gnu", "usr/lib", "usr/lib64"];
const PROGRAM_DIRS: &[&str] = &["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin"];

/// A layer on top of others, as a container sees them.
#[derive(Debug)]
pub struct Stack<'a> {
    /// Highest first.
    layers: Vec<&'a Tree>,
}

impl<'a> Stack<'a> {
    /// Stacks `top` on `parents`, which are listed lowest first.
    pub fn new(top: &'a Tree, parents: impl DoubleEndedIterator<Item = &'a Tree>) -> Self {
        Self {
            layers: std::iter::once(top).chain(parents.rev()).collect(),
        }
    }

    fn entry(&self, path: &str) -> Option<&'a Entry> {
        self.layers.iter().find_map(|layer| layer.get(path))
    }

    /// Follows symbolic links in every component; the final path exists.
    fn resolve(&self, path: &str) -> Option<String> {
        let mut todo: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut done: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => done.push(name),
            }
            match &self.entry(&done.join("/"))?.kind {
                Kind::Symlink(target) => {
                    links += 1;
                    if links > 40 {
                        return None;
                    }
                    done.pop();
                    if target.starts_with('/') {
                        done.clear();
                    }
                    todo.extend(target.split('/').rev().map(str::to_owned));
                }
                _ => continue,
            }
        }
        Some(done.join("/"))
    }

    /// Whether the path exists after following symbolic links.
    pub fn exists(&self, path: &str) -> bool {
        self.resolve(path).is_some()
    }
}

/// What one file asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    interpreter: Option<String>,
    libraries: Vec<String>,
    run_path: Vec<String>,
}

/// Lists everything that is missing, as `file (package): what`. `origin` tells which package brought a file.
pub fn missing(
    stack: &Stack<'_>,
    layer: &Tree,
    origin: &BTreeMap<String, String>,
) -> anyhow::Result<BTreeSet<(String, String, String)>> {
    let mut missing = BTreeSet::new();
    for (path, entry) in layer.iter() {
        let Kind::File(content) = &entry.kind else {
            continue;
        };
        let package = origin.get(path).map_or("files/", String::as_str);
        let mut report = |what: String| missing.insert((package.to_owned(), path.to_owned(), what));
        if content.starts_with(b"\x7fELF") {
            let needs =
                elf_needs(content).with_context(|| format!("cannot read the ELF file {path}"))?;
            if let Some(interpreter) = needs
                .interpreter
                .filter(|interpreter| !stack.exists(interpreter))
            {
                report(interpreter);
            }
            let run_path = needs
                .run_path
                .iter()
                .map(|dir| expand_origin(dir, path))
                .collect::<Vec<_>>();
            for library in needs.libraries {
                let mut dirs = run_path
                    .iter()
                    .map(String::as_str)
                    .chain(LIBRARY_DIRS.iter().copied());
                if !dirs.any(|dir| stack.exists(&format!("{dir}/{library}"))) {
                    report(library);
                }
            }
        } else if entry.mode & 0o111 != 0 {
            match script_interpreter(content) {
                Some(Interpreter::Path(interpreter)) if !stack.exists(&interpreter) => {
                    report(interpreter);
                }
                Some(Interpreter::Name(name))
                    if !PROGRAM_DIRS
                        .iter()
                        .any(|dir| stack.exists(&format!("{dir}/{name}"))) =>
                {
                    report(name);
                }
                _ => {}
            }
        }
    }
    Ok(missing)
}

fn expand_origin(dir: &str, file: &str) -> String {
    let parent = file.rsplit_once('/').map_or("", |(parent, _)| parent);
    dir.replace("${ORIGIN}", parent).replace("$ORIGIN", parent)
}

fn elf_needs(content: &[u8]) -> anyhow::Result<Needs> {
    let header = FileHeader64::<LittleEndian>::parse(content)?;
    let endian = header.endian()?;
    if header.e_machine(endian) != elf::EM_X86_64 {
        bail!("it is not for x86-64");
    }
    let mut needs = Needs::default();
    let segments = header.program_headers(endian, content)?;
    for segment in segments {
        if let Some(interpreter) = segment.interpreter(endian, content)? {
            needs.interpreter = Some(String::from_utf8_lossy(interpreter).into_owned());
        }
        let Some(entries) = segment.dynamic(endian, content)? else {
            continue;
        };
        let number = |tag: elf::DynamicTag| {
            entries
                .iter()
                .find(|entry| entry.tag(endian) == tag)
                .map(|entry| entry.d_val(endian))
        };
        let Some(strings) = number(elf::DT_STRTAB) else {
            continue;
        };
        let table = strings_at(segments, endian, content, strings)
            .context("its string table is outside of the file")?;
        let string = |offset: u64| {
            let bytes = table.get(usize::try_from(offset).ok()?..)?;
            Some(String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next()?).into_owned())
        };
        for entry in entries {
            match entry.tag(endian) {
                elf::DT_NEEDED => needs.libraries.extend(string(entry.d_val(endian))),
                elf::DT_RUNPATH | elf::DT_RPATH => {
                    let dirs = string(entry.d_val(endian)).unwrap_or_default();
                    needs.run_path.extend(dirs.split(':').map(str::to_owned));
                }
                _ => {}
            }
        }
    }
    Ok(needs)
}

/// The file's bytes from the address of the string table on.
fn strings_at<'a>(
    segments: &[elf::ProgramHeader64<LittleEndian>],
    endian: LittleEndian,
    content: &'a [u8],
    address: u64,
) -> Option<&'a [u8]> {
    segments
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
        .find_map(|segment| {
            let offset = address.checked_sub(segment.p_vaddr(endian))?;
            let left = segment.p_filesz(endian).checked_sub(offset)?;
            content
                .read_bytes_at(segment.p_offset(endian) + offset, left)
                .ok()
        })
}

enum Interpreter {
    Path(String),
    Name(String),
}

fn script_interpreter(content: &[u8]) -> Option<Interpreter> {
    let line = content
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let line = String::from_utf8_lossy(line).into_owned();
    let mut words = line.split_whitespace();
    let path = words.next()?;
    if path.ends_with("/env") {
        let name = words.find(|word| !word.starts_with('-'))?;
        return Some(Interpreter::Name(name.to_owned()));
    }
    Some(Interpreter::Path(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack_of(base: &Tree, top: &Tree, paths: &[(&str, bool)]) {
        let stack = Stack::new(top, std::iter::once(base));
        for (path, exists) in paths {
            assert_eq!(stack.exists(path), *exists, "{path}");
        }
    }

    #[test]
    fn links_are_followed_through_all_layers() {
        let mut base = Tree::default();
        base.insert("lib64", Entry::symlink("usr/lib64"));
        base.insert("usr/lib64/ld.so", Entry::symlink("../lib/ld-2.so"));
        base.insert("loop", Entry::symlink("/loop"));
        let mut top = Tree::default();
        top.insert("usr/lib/ld-2.so", Entry::file(Vec::new(), 0o755));
        stack_of(
            &base,
            &top,
            &[
                ("/lib64/ld.so", true),
                ("/usr/lib64/none", false),
                ("loop", false),
                ("/lib64", true),
            ],
        );
    }

    #[test]
    fn a_script_without_its_interpreter_is_named_with_its_package() {
        let mut layer = Tree::default();
        layer.insert(
            "usr/bin/a",
            Entry::file(b"#!/usr/bin/perl -w\n".to_vec(), 0o755),
        );
        layer.insert(
            "usr/bin/b",
            Entry::file(b"#!/usr/bin/env python3\n".to_vec(), 0o755),
        );
        layer.insert(
            "usr/share/c",
            Entry::file(b"#!/usr/bin/perl\n".to_vec(), 0o644),
        );
        let origin = BTreeMap::from([("usr/bin/a".to_owned(), "adduser".to_owned())]);
        let base = Tree::default();
        let found = missing(&Stack::new(&layer, std::iter::once(&base)), &layer, &origin)
            .expect("no ELF here");
        let expected = [
            ("adduser", "usr/bin/a", "/usr/bin/perl"),
            ("files/", "usr/bin/b", "python3"),
        ];
        let found: Vec<_> = found
            .iter()
            .map(|(p, f, w)| (p.as_str(), f.as_str(), w.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn reads_what_this_test_binary_needs() {
        let own = std::fs::read("/proc/self/exe").expect("own binary");
        let needs = elf_needs(&own).expect("an ELF file");
        assert!(
            needs.libraries.iter().any(|library| library == "libc.so.6"),
            "{needs:?}"
        );
        assert!(
            needs
                .interpreter
                .is_some_and(|path| path.contains("ld-linux"))
        );
    }
}
