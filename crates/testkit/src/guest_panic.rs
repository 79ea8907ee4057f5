use std::fmt;

/// First words of the line that the kernel prints last.
const MARK: &str = "Kernel panic - not syncing: ";

/// A kernel panic recognised on the serial console.
///
/// QEMU's TCG makes a sound kernel crash in about one boot of 150. Those panics are the emulator's; "Attempted to kill init!" is
/// Coracle's PID 1 ending, which is never excused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestPanic {
    reason: String,
}

impl GuestPanic {
    /// Looks for a panic in console output.
    pub fn find(console: &str) -> Option<Self> {
        let (_, rest) = console.split_once(MARK)?;
        let reason = rest.lines().next().unwrap_or_default().trim();
        Some(Self {
            reason: reason.to_owned(),
        })
    }

    /// True when the kernel panicked because PID 1 ended.
    pub fn init_died(&self) -> bool {
        self.reason.starts_with("Attempted to kill init")
    }
}

impl fmt::Display for GuestPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_emulator_faults_from_a_dead_init() {
        let cases = [
            ("[  1.0] Run /init as init process\n", None),
            (
                "[  2.1] Kernel panic - not syncing: Fatal exception in interrupt\n[  2.2] ---[ end",
                Some(("Fatal exception in interrupt", false)),
            ),
            (
                "x\r\n[  2.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\r\n",
                Some(("Attempted to kill init! exitcode=0x00000100", true)),
            ),
        ];
        for (console, expected) in cases {
            let found = GuestPanic::find(console);
            let found = found.as_ref().map(|p| (p.reason.as_str(), p.init_died()));
            assert_eq!(found, expected, "{console}");
        }
    }
}
