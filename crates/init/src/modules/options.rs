//! Module parameters and exclusions from the kernel command line.

use std::collections::{BTreeMap, BTreeSet};

use super::normalise;

/// `MODULE.PARAMETER=VALUE` for modules that are not built in, and `modprobe.blacklist=A,B` (kernel:
/// Documentation/admin-guide/kernel-parameters.rst; modprobe(8)).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    parameters: BTreeMap<String, Vec<String>>,
    excluded: BTreeSet<String>,
}

impl Options {
    /// Reads a kernel command line.
    #[must_use]
    pub fn from_cmdline(line: &str) -> Self {
        let mut options = Self::default();
        for argument in coracle_config::cmdline::split(line) {
            let (name, value) = argument
                .split_once('=')
                .map_or((argument.as_str(), None), |(n, v)| (n, Some(v)));
            let Some((module, parameter)) = name.split_once('.') else {
                continue;
            };
            match (module, parameter, value) {
                ("rancher" | "cc", ..) => {}
                ("modprobe", "blacklist", Some(list)) => {
                    options.excluded.extend(list.split(',').map(normalise));
                }
                _ if parameter.is_empty() => {}
                (_, _, value) => {
                    let text = value.map_or_else(
                        || parameter.to_owned(),
                        |value| format!("{parameter}={value}"),
                    );
                    options
                        .parameters
                        .entry(normalise(module))
                        .or_default()
                        .push(text);
                }
            }
        }
        options
    }

    /// The parameters of a module as `finit_module(2)` takes them.
    #[must_use]
    pub fn parameters(&self, module: &str) -> String {
        self.parameters
            .get(module)
            .map(|list| list.join(" "))
            .unwrap_or_default()
    }

    /// Whether a module must not be loaded for a device.
    #[must_use]
    pub fn excludes(&self, module: &str) -> bool {
        self.excluded.contains(module)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_exclusions_from_the_command_line() {
        let options = Options::from_cmdline(
            "quiet nvme_core.io_timeout=4294967295 usb-storage.delay_use=0 rancher.debug=1 modprobe.blacklist=nouveau,snd-hda \
             usb_storage.quirks=\"a b\" x. i915.modeset",
        );
        assert_eq!(options.parameters("nvme_core"), "io_timeout=4294967295");
        assert_eq!(
            options.parameters("usb_storage"),
            "delay_use=0 quirks=\"a b\""
        );
        assert_eq!(options.parameters("i915"), "modeset");
        assert_eq!(options.parameters("rancher"), "");
        assert_eq!(
            ["nouveau", "snd_hda", "ext4"].map(|module| options.excludes(module)),
            [true, true, false]
        );
    }
}
