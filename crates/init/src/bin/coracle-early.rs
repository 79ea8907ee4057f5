//! The initrd's program: PID 1 until the system image is mounted, and what it needs meanwhile.
//!
//! It is the same code as the roles of these names in `coracle`. The linker leaves out everything else, so that the initrd, which
//! every boot unpacks whole, holds a tenth of `coracle`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let called = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let words: Vec<&str> = rest.iter().map(String::as_str).collect();
    match (called.rsplit('/').next().unwrap_or_default(), &words[..]) {
        ("modprobe", _) => coracle_init::modprobe(&rest),
        ("init", _) => coracle_init::init(),
        (_, ["console-shell", terminal, shell]) => {
            match coracle_init::console_shell(Path::new(terminal), Path::new(shell)) {
                Ok(code) => code,
                Err(error) => {
                    eprintln!("console-shell: {terminal}: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        _ => {
            eprintln!("coracle-early: it is init, modprobe, or console-shell TERMINAL SHELL");
            ExitCode::from(2)
        }
    }
}
