//! The live ISO: boots by BIOS and by UEFI, as a CD and copied to a USB disk.
//!
//! One El Torito image and a boot sector carry GRUB for BIOS; a small FAT volume, which is both the second El Torito image and
//! a GPT partition, carries GRUB for UEFI (the layout of grub-mkrescue(1)).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use coracle_toolbox::Toolbox;

use super::erofs::LABEL;
use super::tree::SOURCE_DATE_EPOCH;

/// Modules of both GRUBs: the core image needs no files of its own on the medium.
const MODULES: &[&str] = &[
    "all_video",
    "cat",
    "chain",
    "configfile",
    "echo",
    "fat",
    "halt",
    "help",
    "iso9660",
    "linux",
    "ls",
    "minicmd",
    "normal",
    "part_gpt",
    "part_msdos",
    "reboot",
    "search",
    "search_fs_file",
    "search_label",
    "serial",
    "sleep",
    "terminal",
    "test",
    "true",
];

/// What a GRUB for BIOS needs besides.
const BIOS_MODULES: &[&str] = &["biosdisk", "vga_text"];

/// What a GRUB for UEFI needs besides.
const UEFI_MODULES: &[&str] = &["efifwsetup"];

/// Size of the FAT volume in KiB: GRUB for UEFI and room.
const ESP_KIB: u32 = 2880;

/// What the ISO is made of.
#[derive(Debug)]
pub struct Iso<'a> {
    /// Where GRUB, mtools and xorriso are.
    pub toolbox: &'a Toolbox,
    /// The folder with the boot menu.
    pub definition: &'a Path,
    /// The folder with `vmlinuz`, `initrd` and `system.erofs`.
    pub dist: &'a Path,
    /// UUID of `system.erofs`.
    pub uuid: &'a str,
    /// The system's version.
    pub version: &'a str,
}

impl Iso<'_> {
    /// Writes the ISO.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let work = tempfile::tempdir_in(self.dist)?;
        let work = work.path();
        let early = self.configuration("early.cfg", work)?;
        let menu = self.configuration("grub.cfg", work)?;
        let marker = work.join("marker");
        fs::write(&marker, format!("{}\n", self.version))?;

        let bios = work.join("eltorito.img");
        self.grub("i386-pc-eltorito", "i386-pc", BIOS_MODULES, &early, &bios)?;
        let uefi = work.join("bootx64.efi");
        self.grub("x86_64-efi", "x86_64-efi", UEFI_MODULES, &early, &uefi)?;
        let esp = self.esp(work, &uefi)?;

        let part = path.with_extension("part");
        let graft = |inside: &str, file: &Path| format!("{inside}={}", file.display());
        let mut command = self.toolbox.command("xorriso")?;
        command
            .args([
                "-as",
                "mkisofs",
                "-quiet",
                "-graft-points",
                "-R",
                "-J",
                "-V",
                LABEL,
            ])
            .args([
                "-b",
                "boot/grub/eltorito.img",
                "-no-emul-boot",
                "-boot-load-size",
                "4",
            ])
            .args(["-boot-info-table", "--grub2-boot-info", "--grub2-mbr"])
            .arg(self.toolbox.file("usr/lib/grub/i386-pc/boot_hybrid.img")?)
            .args([
                "--efi-boot",
                "boot/grub/efi.img",
                "-efi-boot-part",
                "--efi-boot-image",
            ])
            .args(["--protective-msdos-label", "-o"])
            .arg(&part)
            .arg(graft("boot/grub/eltorito.img", &bios))
            .arg(graft("boot/grub/efi.img", &esp))
            .arg(graft("boot/grub/grub.cfg", &menu))
            .arg(graft("boot/vmlinuz", &self.dist.join("vmlinuz")))
            .arg(graft("boot/initrd", &self.dist.join("initrd")))
            .arg(graft(
                "coracle/system.erofs",
                &self.dist.join("system.erofs"),
            ))
            .arg(graft(&format!("coracle/{}", self.uuid), &marker));
        run(command)?;
        fs::rename(&part, path).with_context(|| format!("cannot move {}", part.display()))
    }

    /// Copies a file of the definition with the build's values in it. Comments stay behind: the parser inside a core image does
    /// not know them and takes an apostrophe for a quote.
    fn configuration(&self, name: &str, work: &Path) -> anyhow::Result<PathBuf> {
        let source = self.definition.join(name);
        let text = fs::read_to_string(&source)
            .with_context(|| format!("cannot read {}", source.display()))?;
        let text = text
            .replace("@UUID@", self.uuid)
            .replace("@VERSION@", self.version);
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        let path = work.join(name);
        fs::write(
            &path,
            lines.fold(String::new(), |all, line| all + line + "\n"),
        )?;
        Ok(path)
    }

    fn grub(
        &self,
        format: &str,
        platform: &str,
        modules: &[&str],
        early: &Path,
        to: &Path,
    ) -> anyhow::Result<()> {
        let mut command = self.toolbox.command("grub-mkimage")?;
        command
            .arg("--directory")
            .arg(self.toolbox.file(&format!("usr/lib/grub/{platform}"))?)
            .args(["--format", format, "--prefix", "/boot/grub", "--config"])
            .arg(early)
            .arg("--output")
            .arg(to)
            .args(MODULES)
            .args(modules);
        run(command)
    }

    /// The EFI system partition: a FAT volume with `EFI/BOOT/BOOTX64.EFI`, the name for removable media (UEFI 2.10, 3.5.1.1).
    fn esp(&self, work: &Path, uefi: &Path) -> anyhow::Result<PathBuf> {
        let image = work.join("efi.img");
        let mut format = self.toolbox.command("mformat")?;
        format
            .args([
                "-C",
                "-f",
                &ESP_KIB.to_string(),
                "-L",
                "16",
                "-N",
                "c0ac1e00",
                "-v",
                "EFI",
                "-i",
            ])
            .arg(&image)
            .arg("::");
        run(format)?;
        let mut directories = self.toolbox.command("mmd")?;
        directories
            .arg("-i")
            .arg(&image)
            .args(["::/EFI", "::/EFI/BOOT"]);
        run(directories)?;
        let mut copy = self.toolbox.command("mcopy")?;
        copy.arg("-i")
            .arg(&image)
            .arg(uefi)
            .arg("::/EFI/BOOT/BOOTX64.EFI");
        run(copy)?;
        Ok(image)
    }
}

fn run(mut command: Command) -> anyhow::Result<()> {
    let output = command
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH.to_string())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let line: Vec<_> = command
        .get_args()
        .map(|argument| argument.to_string_lossy())
        .collect();
    bail!(
        "{} failed ({}):\n{}",
        line.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )
}
