//! Stand-ins for libraries that programs are linked with but need for one thing only, and that not here: Kerberos for sshd, SQLite
//! (by libwtmpdb) for a list of logins, GnuTLS for chrony's NTS.
//!
//! A stand-in has the library's name, symbols and versions, so that the dynamic linker is content; each of its functions does nothing
//! and returns what the layer's definition says, which is an error of that library. It is made from the library in the package, so that an
//! update cannot leave a symbol behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, bail};
use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, Sym};

use super::tree::{Entry, Kind, Tree};

/// What functions return: by name, `default` for all others.
pub type Answers = BTreeMap<String, i64>;

/// Puts a stand-in in the library's place. `path` is the name that programs look for: a file, or a link to it.
pub fn replace(tree: &mut Tree, path: &str, answers: &Answers) -> anyhow::Result<()> {
    let target = match tree.get(path).map(|entry| &entry.kind) {
        Some(Kind::Symlink(target)) if !target.contains('/') => {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            format!("{parent}/{target}")
        }
        _ => path.to_owned(),
    };
    let library = tree
        .remove(&target)
        .with_context(|| format!("there is no {target}"))?;
    let Kind::File(content) = &library.kind else {
        bail!("{target} is not a file");
    };
    let soname = path.rsplit('/').next().unwrap_or(path);
    let symbols = exports(content).with_context(|| target.clone())?;
    tree.insert(path, Entry::file(link(soname, &symbols, answers)?, 0o644));
    Ok(())
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Symbol {
    name: String,
    version: String,
    /// Size of a variable; functions have none.
    variable: Option<u64>,
}

/// The symbols that a library offers to those linked with it today; versions for older programs are left out.
fn exports(library: &[u8]) -> anyhow::Result<BTreeSet<Symbol>> {
    let header = FileHeader64::<Endianness>::parse(library)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, library)?;
    let table = sections.symbols(endian, library, elf::SHT_DYNSYM)?;
    let versions = sections.versions(endian, library)?;
    let mut symbols = BTreeSet::new();
    for (index, symbol) in table.enumerate() {
        if symbol.is_undefined(endian) || symbol.st_bind() == elf::STB_LOCAL {
            continue;
        }
        let name = String::from_utf8_lossy(table.symbol_name(endian, symbol)?).into_owned();
        let variable = match symbol.st_type() {
            elf::STT_OBJECT => Some(symbol.st_size(endian)),
            elf::STT_FUNC | elf::STT_GNU_IFUNC => None,
            _ => continue,
        };
        let version = match &versions {
            Some(versions) => {
                let at = versions.version_index(endian, index);
                if at.is_hidden() {
                    continue;
                }
                let version = versions.version(at.index())?;
                version.map_or(&b""[..], |version| version.name())
            }
            None => b"",
        };
        // The names of the versions themselves are symbols too.
        let version = String::from_utf8_lossy(version).into_owned();
        if version != name {
            symbols.insert(Symbol {
                name,
                version,
                variable,
            });
        }
    }
    Ok(symbols)
}

/// The library in assembly language, and the linker's list of versions.
fn source(symbols: &BTreeSet<Symbol>, answers: &Answers) -> anyhow::Result<(String, String)> {
    let default = answers
        .get("default")
        .context("what do its functions return? default: -1")?;
    // All functions with the usual answer are one piece of code with many names.
    let mut code = String::from(".section .note.GNU-stack,\"\",@progbits\n.text\n");
    let mut others = format!("mov ${default},%rax\nret\n");
    let mut versions: BTreeMap<&str, String> = BTreeMap::new();
    for symbol in symbols {
        let name = &symbol.name;
        // Writing to a string cannot fail.
        let _ = match (symbol.variable, answers.get(name)) {
            (Some(size), _) => writeln!(
                others,
                ".bss\n.balign 32\n.globl {name}\n.type {name},@object\n.size {name},{size}\n{name}: .zero {size}"
            ),
            (None, Some(answer)) => writeln!(
                others,
                ".text\n.globl {name}\n.type {name},@function\n{name}: mov ${answer},%rax\nret"
            ),
            (None, None) => writeln!(code, ".globl {name}\n.type {name},@function\n{name}:"),
        };
        let _ = write!(versions.entry(&symbol.version).or_default(), "{name};");
    }
    code += &others;
    let mut script = String::new();
    for (version, names) in versions {
        let _ = writeln!(script, "{version} {{ global: {names} local: *; }};");
    }
    Ok((code, script))
}

fn link(soname: &str, symbols: &BTreeSet<Symbol>, answers: &Answers) -> anyhow::Result<Vec<u8>> {
    let (code, script) = source(symbols, answers)?;
    let work = tempfile::tempdir()?;
    fs::write(work.path().join("code.s"), code)?;
    fs::write(work.path().join("versions"), script)?;
    let output = Command::new("gcc")
        .args(["-shared", "-nostdlib", "-s", "-o", "library", "code.s"])
        .arg(format!("-Wl,-soname,{soname}"))
        .args(["-Wl,--version-script=versions", "-Wl,--build-id=none"])
        .args(["-Wl,--hash-style=gnu", "-Wl,-z,noseparate-code"])
        .current_dir(work.path())
        .output()
        .context("cannot run gcc; run \"make setup\"")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("gcc failed ({}): {text}", output.status);
    }
    Ok(fs::read(work.path().join("library"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str, version: &str, variable: Option<u64>) -> Symbol {
        Symbol {
            name: name.into(),
            version: version.into(),
            variable,
        }
    }

    #[test]
    fn a_stand_in_has_the_symbols_of_its_library() {
        let symbols = BTreeSet::from([
            symbol("one", "LIB_1", None),
            symbol("two", "LIB_2", None),
            symbol("three", "LIB_2", Some(8)),
        ]);
        let answers = Answers::from([("default".into(), -61), ("two".into(), 0)]);
        let library = link("libx.so.0", &symbols, &answers).expect("gcc");
        assert_eq!(exports(&library).expect("a library"), symbols);

        let mut tree = Tree::default();
        tree.insert("lib/libx.so.0", Entry::symlink("libx.so.0.1"));
        tree.insert("lib/libx.so.0.1", Entry::file(library, 0o644));
        replace(&mut tree, "lib/libx.so.0", &answers).expect("it is replaced");
        let left: Vec<_> = tree.iter().map(|(path, _)| path).collect();
        assert_eq!(left, ["lib", "lib/libx.so.0"]);
        let library = tree.content("lib/libx.so.0").expect("a file");
        assert_eq!(exports(library).expect("a library"), symbols);
    }

    #[test]
    fn what_functions_return_must_be_said() {
        assert!(source(&BTreeSet::new(), &Answers::new()).is_err());
        let error = replace(&mut Tree::default(), "lib/none.so", &Answers::new());
        assert!(error.is_err_and(|error| error.to_string() == "there is no lib/none.so"));
    }
}
