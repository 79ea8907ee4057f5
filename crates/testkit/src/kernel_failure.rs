use std::fmt;

/// First words of the line that the kernel prints last.
const PANIC: &str = "Kernel panic - not syncing: ";
/// What the kernel says when a processor's timer is silent (kernel: Documentation/RCU/stallwarn.rst). The machine hangs.
const LOST_TIMER: &str = "Possible timer handling issue";
/// What PID 1 begins to say with, after its first phase.
const PID_1: &str = "[2/";

/// The end of a guest's kernel, recognised on the serial console.
///
/// QEMU's TCG makes a sound kernel crash, or lose a processor's timer, in about one boot of 150. Those ends are the emulator's;
/// "Attempted to kill init!" is Coracle's PID 1 ending, which is never excused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFailure {
    reason: String,
}

impl KernelFailure {
    /// Looks for it in console output.
    pub fn find(console: &str) -> Option<Self> {
        let after = |mark| console.split_once(mark).map(|(_, rest)| rest);
        let reason = match (after(PANIC), after(LOST_TIMER)) {
            (Some(rest), _) => rest.lines().next().unwrap_or_default().trim().to_owned(),
            (None, Some(_)) => "a processor lost its timer".to_owned(),
            (None, None) => return None,
        };
        Some(Self { reason })
    }

    /// For a guest that has been waited for in vain: its kernel, when PID 1 has said nothing.
    pub fn before_pid_1(console: &str) -> Option<Self> {
        (!console.contains(PID_1)).then(|| Self {
            reason: "it hung before PID 1 said anything".to_owned(),
        })
    }

    /// True when the kernel panicked because PID 1 ended.
    pub fn init_died(&self) -> bool {
        self.reason.starts_with("Attempted to kill init")
    }
}

impl fmt::Display for KernelFailure {
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
                "[   22.8] rcu: \tPossible timer handling issue on cpu=1 timer-softirq=4\n",
                Some(("a processor lost its timer", false)),
            ),
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
            let found = KernelFailure::find(console);
            let found = found.as_ref().map(|p| (p.reason.as_str(), p.init_died()));
            assert_eq!(found, expected, "{console}");
        }
    }

    #[test]
    fn silence_is_the_kernels_until_pid_1_has_spoken() {
        for (console, is_kernels) in [
            ("Booting `Coracle'\r\n", true),
            ("[2/14] drivers\r\n[3/14] recovery\r\n", false),
        ] {
            let found = KernelFailure::before_pid_1(console).is_some();
            assert_eq!(found, is_kernels, "{console}");
        }
    }
}
