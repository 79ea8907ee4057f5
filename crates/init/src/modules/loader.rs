//! Loading modules, from several threads at once.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::system::{finit_module, init_module};

use super::{Index, Options};
use crate::Error;

/// How the names of compressed modules end (depmod(8)). The kernel's own decompressor knows one format only, xz in Debian's.
const PACKED: &str = "zst";

/// Loads each module once, whatever needs it, with what it needs first.
#[derive(Debug)]
pub struct Loader {
    index: Index,
    options: Options,
    states: Mutex<HashMap<String, State>>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Loading,
    Loaded,
    Failed,
}

impl Loader {
    /// A loader for `index`.
    #[must_use]
    pub fn new(index: Index, options: Options) -> Self {
        Self {
            index,
            options,
            states: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// The modules that drive a device, without those that the command line excludes and those loaded already.
    #[must_use]
    pub fn wanted_for(&self, modalias: &str) -> Vec<String> {
        let modules = self.index.resolve(modalias).unwrap_or_default();
        let states = self.states();
        modules
            .into_iter()
            .filter(|module| !states.contains_key(module) && !self.options.excludes(module))
            .collect()
    }

    /// Loads a module or everything behind an alias; what is built in or loaded already is fine.
    ///
    /// # Errors
    /// When there is no such module, or the kernel refuses it.
    pub fn load(&self, name: &str) -> Result<(), Error> {
        self.load_with(name, "")
    }

    /// Like [`Loader::load`], with parameters besides those of the kernel command line.
    ///
    /// # Errors
    /// When there is no such module, or the kernel refuses it.
    pub fn load_with(&self, name: &str, parameters: &str) -> Result<(), Error> {
        let modules = self
            .index
            .resolve(name)
            .ok_or_else(|| Error::UnknownModule {
                name: name.to_owned(),
            })?;
        modules
            .iter()
            .try_for_each(|module| self.load_module(module, parameters))
    }

    fn load_module(&self, module: &str, parameters: &str) -> Result<(), Error> {
        if self.states().get(module) == Some(&State::Loaded) {
            return Ok(());
        }
        self.index.in_order(module, &mut |each: &str| {
            self.load_one(each, if each == module { parameters } else { "" })
        })
    }

    /// Loads one module whose needs are met. Several threads may want the same one: the first loads, the others wait.
    fn load_one(&self, module: &str, parameters: &str) -> Result<(), Error> {
        let mut states = self.states();
        loop {
            match states.get(module) {
                Some(State::Loaded) => return Ok(()),
                Some(State::Failed) => {
                    return Err(Error::ModuleFailed {
                        name: module.to_owned(),
                    });
                }
                Some(State::Loading) => {
                    states = self
                        .changed
                        .wait(states)
                        .unwrap_or_else(PoisonError::into_inner)
                }
                None => break,
            }
        }
        states.insert(module.to_owned(), State::Loading);
        drop(states);
        let result = self.insert(module, parameters);
        let state = if result.is_ok() {
            State::Loaded
        } else {
            State::Failed
        };
        self.states().insert(module.to_owned(), state);
        self.changed.notify_all();
        result
    }

    fn insert(&self, module: &str, parameters: &str) -> Result<(), Error> {
        // The initrd may have loaded it: the kernel would say so only after it has read the whole file again.
        if is_live(Path::new("/sys/module"), module) {
            return Ok(());
        }
        let path = self
            .index
            .file(module)
            .ok_or_else(|| Error::UnknownModule {
                name: module.to_owned(),
            })?;
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        let all = [self.options.parameters(module), parameters.to_owned()].join(" ");
        let text = CString::new(all.trim()).map_err(|_| Error::UnknownModule {
            name: module.to_owned(),
        })?;
        let result = match path.extension().is_some_and(|end| end == PACKED) {
            true => {
                let module = zstd::decode_all(file).map_err(Error::io("unpack", &path))?;
                init_module(&module, &text)
            }
            false => finit_module(&file, &text, 0),
        };
        match result {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(Error::LoadModule {
                path,
                source: errno.into(),
            }),
        }
    }

    fn states(&self) -> MutexGuard<'_, HashMap<String, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the kernel has loaded and started a module (kernel: Documentation/ABI/stable/sysfs-module, `initstate`). What is
/// built in has no such file.
fn is_live(modules: &Path, module: &str) -> bool {
    fs::read(modules.join(module).join("initstate")).is_ok_and(|state| state == b"live\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_module_that_runs_is_loaded_already() {
        let modules = tempfile::tempdir().expect("a directory");
        for (name, state) in [
            ("runs", "live\n"),
            ("starts", "coming\n"),
            ("ends", "going\n"),
        ] {
            let directory = modules.path().join(name);
            fs::create_dir(&directory).expect("a directory");
            fs::write(directory.join("initstate"), state).expect("a file");
        }
        fs::create_dir(modules.path().join("built_in")).expect("a directory");
        assert_eq!(
            ["runs", "starts", "ends", "built_in", "absent"]
                .map(|name| is_live(modules.path(), name)),
            [true, false, false, false, false]
        );
    }
}
