//! Making kernel modules smaller: what no running kernel of ours reads is left out.
//!
//! * The signature. Debian signs each module, and the kernel checks it when the module is loaded: half of the time of loading.
//!   It protects against modules from elsewhere, and only with Secure Boot, where the kernel insists on it. Our modules come
//!   out of `system.erofs` and the initrd, which are to be verified as a whole. Changing a module makes its signature wrong, and
//!   a wrong one is refused, so it goes first. The kernel notes one line and the taint "E", unsigned module.
//! * Type information (`.BTF`) of the module's own types. The kernel's own, in vmlinuz, stays.
//! * The unwinder's tables (`.orc_unwind`), which the kernel sorts each time a module is loaded. Without them a stack trace through
//!   a module marks its lines with "?".
//! * The list of all functions (`__mcount_loc`), where the kernel writes a no-operation over each call of `__fentry__` as it loads the
//!   module, and looks each up by name. The calls are no-operations here. The function tracer does not know functions of modules
//!   then; kprobes and tracepoints do. Another list of all functions is read on other architectures only.
//! * Names of symbols that are neither exported nor needed for relocation.

use std::collections::HashSet;

use anyhow::{Context, bail};
use object::build::Id;
use object::build::elf::{Builder, SectionData};
use object::elf;

/// What a signed module ends with (kernel: include/linux/module_signature.h).
const MAGIC: &[u8] = b"~Module signature appended~\n";

/// `struct module_signature`; its last four bytes are the signature's length.
const SIGNATURE_HEADER: usize = 12;

/// Sections that are left out.
const UNUSED: &[&[u8]] = &[
    b".BTF",
    b".comment",
    b".note.GNU-stack",
    b".orc_header",
    b".orc_unwind",
    b".orc_unwind_ip",
    b".rela.orc_unwind_ip",
    b".rela__mcount_loc",
    b".rela__patchable_function_entries",
    b"__mcount_loc",
    b"__patchable_function_entries",
];

/// What compilers let each function begin with for the function tracer (kernel: Documentation/trace/ftrace-design.rst), before
/// it is linked, and what the kernel writes over it.
const FENTRY: &[u8] = b"__fentry__";
const CALL: [u8; 5] = [0xe8, 0, 0, 0, 0];
const NOP: [u8; 5] = [0x0f, 0x1f, 0x44, 0, 0];

/// How the name of a module ends that [`pack`] has made, instead of `.ko`.
pub const PACKED: &str = ".ko.zst";

/// The strongest that needs no more memory to unpack than the module itself.
const LEVEL: i32 = 19;

/// The module compressed, for the initrd: of all its modules a boot needs a few, and unpacking all took as long as all else that the
/// kernel does meanwhile.
pub fn pack(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    zstd::bulk::compress(module, LEVEL).context("cannot compress it")
}

/// The module without all that.
pub fn shrink(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut module = Builder::read(unsigned(module)?).context("not an ELF file")?;
    for section in &mut module.sections {
        section.delete = UNUSED.contains(&section.name.as_slice());
    }
    module.delete_orphans();
    overwrite_fentry(&mut module)?;
    let mut needed = HashSet::new();
    for section in &module.sections {
        if let SectionData::Relocation(relocations) = &section.data {
            if !section.delete {
                needed.extend(
                    relocations
                        .iter()
                        .filter_map(|one| Some(one.symbol?.index())),
                );
            }
        } else if section.sh_type == elf::SHT_GROUP {
            bail!("it has section groups");
        }
    }
    for symbol in &mut module.symbols {
        let unused = !needed.contains(&symbol.id().index());
        symbol.delete |=
            unused && (symbol.st_bind() == elf::STB_LOCAL || symbol.name.as_slice() == FENTRY);
    }
    let mut small = Vec::new();
    module.write(&mut small).context("cannot write it anew")?;
    Ok(small)
}

/// Makes the calls of `__fentry__` no-operations, which need no relocation.
fn overwrite_fentry(module: &mut Builder<'_>) -> anyhow::Result<()> {
    let mut symbols = module.symbols.iter();
    let Some(fentry) = symbols.find(|symbol| symbol.name.as_slice() == FENTRY) else {
        return Ok(());
    };
    let fentry = fentry.id();
    let mut calls = Vec::new();
    for section in &mut module.sections {
        if let (SectionData::Relocation(relocations), Some(code)) =
            (&mut section.data, section.sh_info_section)
        {
            let found = relocations.extract_if(.., |one| one.symbol == Some(fentry));
            calls.extend(found.map(|one| (code, one.r_offset)));
        }
    }
    for (code, operand) in calls {
        let section = module.sections.get_mut(code);
        let SectionData::Data(code) = &mut section.data else {
            bail!("{} calls __fentry__ without code", section.name);
        };
        let end = usize::try_from(operand)? + 4;
        match code.to_mut().get_mut(end.saturating_sub(5)..end) {
            Some(call) if *call == CALL => call.copy_from_slice(&NOP),
            _ => bail!("{}+{operand:#x} is no call of __fentry__", section.name),
        }
    }
    Ok(())
}

/// The module without its signature.
fn unsigned(module: &[u8]) -> anyhow::Result<&[u8]> {
    let Some(rest) = module.strip_suffix(MAGIC) else {
        return Ok(module);
    };
    let damaged = "its signature is damaged";
    let (rest, length) = rest.split_last_chunk::<4>().context(damaged)?;
    let length = usize::try_from(u32::from_be_bytes(*length))? + SIGNATURE_HEADER - 4;
    let end = rest.len().checked_sub(length).context(damaged)?;
    Ok(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module as far as this goes: code with a local and a global function, one of which calls another, and type information.
    fn module() -> Vec<u8> {
        let mut module = Builder::new(object::Endianness::Little, true);
        module.header.e_type = elf::ET_REL;
        module.header.e_machine = elf::EM_X86_64;
        let mut section = |name: &'static str, sh_type, data| {
            let section = module.sections.add();
            section.name = name.into();
            section.sh_type = sh_type;
            section.sh_addralign = 1;
            section.data = data;
            section.id()
        };
        let data = |bytes: &'static [u8]| SectionData::Data(bytes.into());
        let text = section(
            ".text",
            elf::SHT_PROGBITS,
            data(b"\xe8\0\0\0\0\xe8\0\0\0\0"),
        );
        section(".BTF", elf::SHT_PROGBITS, data(b"types"));
        section("__mcount_loc", elf::SHT_PROGBITS, data(b"\0\0\0\0\0\0\0\0"));
        let rela = section(
            ".rela.text",
            elf::SHT_RELA,
            SectionData::Relocation(Vec::new()),
        );
        let symtab = section(".symtab", elf::SHT_SYMTAB, SectionData::Symbol);
        let strtab = section(".strtab", elf::SHT_STRTAB, SectionData::String);
        section(".shstrtab", elf::SHT_STRTAB, SectionData::SectionString);
        module.sections.get_mut(symtab).sh_link_section = Some(strtab);
        let mut called = None;
        let mut fentry = None;
        for (name, bind) in [
            ("__fentry__", elf::STB_GLOBAL),
            ("unused", elf::STB_LOCAL),
            ("called", elf::STB_LOCAL),
            ("exported", elf::STB_GLOBAL),
        ] {
            let symbol = module.symbols.add();
            symbol.name = name.into();
            symbol.section = Some(text);
            symbol.set_st_info(bind, elf::STT_FUNC);
            match name {
                "called" => called = Some(symbol.id()),
                "__fentry__" => fentry = Some(symbol.id()),
                _ => {}
            }
        }
        let rela = module.sections.get_mut(rela);
        rela.sh_link_section = Some(symtab);
        rela.sh_info_section = Some(text);
        rela.sh_flags |= elf::SHF_INFO_LINK;
        let call = |r_offset, symbol| object::build::elf::Relocation {
            r_offset,
            symbol,
            r_type: elf::R_X86_64_PLT32,
            r_addend: -4,
        };
        rela.data = SectionData::Relocation(vec![call(1, fentry), call(6, called)]);
        let mut bytes = Vec::new();
        module.write(&mut bytes).expect("a module");
        bytes
    }

    fn signed(mut module: Vec<u8>, signature: &[u8]) -> Vec<u8> {
        module.extend(signature);
        module.extend([0, 0, 2, 0, 0, 0, 0, 0]);
        module.extend(u32::try_from(signature.len()).expect("short").to_be_bytes());
        module.extend(MAGIC);
        module
    }

    #[test]
    fn code_and_what_relocations_need_stay() {
        let small = shrink(&signed(module(), b"signature")).expect("a module");
        let small = Builder::read(small.as_slice()).expect("a module");
        let symbols: Vec<_> = small.symbols.iter().map(|s| s.name.to_string()).collect();
        assert_eq!(symbols, ["called", "exported"]);
        let sections: Vec<_> = small.sections.iter().map(|s| s.name.to_string()).collect();
        assert_eq!(
            sections,
            [".text", ".rela.text", ".symtab", ".strtab", ".shstrtab"]
        );
        let relocations = small
            .sections
            .iter()
            .find_map(|section| match &section.data {
                SectionData::Relocation(relocations) => relocations.first(),
                _ => None,
            });
        let text = small
            .sections
            .iter()
            .find_map(|section| match &section.data {
                SectionData::Data(bytes) => Some(bytes.to_vec()),
                _ => None,
            });
        assert_eq!(text, Some([NOP, CALL].concat()));
        let called = relocations.and_then(|relocation| relocation.symbol);
        let called = called.map(|symbol| small.symbols.get(symbol).name.to_string());
        assert_eq!(called.as_deref(), Some("called"));
    }

    #[test]
    fn a_signature_is_cut_off_and_a_damaged_one_is_an_error() {
        assert_eq!(
            unsigned(&signed(b"module".to_vec(), b"sig")).ok(),
            Some(&b"module"[..])
        );
        assert_eq!(unsigned(b"module").ok(), Some(&b"module"[..]));
        assert!(unsigned(MAGIC).is_err());
        assert!(unsigned(&[&[0xff; 12][..], MAGIC].concat()).is_err());
    }
}
