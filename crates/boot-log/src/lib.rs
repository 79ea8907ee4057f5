//! The boot log: what ran during boot, when it started, how long it took and whether it failed.
//!
//! PID 1 writes it to `/run/coracle/boot.json`, a JSON array of [`Entry`]; `ros boot` reads it. Times are microseconds of
//! `CLOCK_BOOTTIME`, the kernel's clock since power-on of the machine (time spent suspended included), so an entry that
//! starts at 2 500 000 began 2.5 s after the kernel did.

mod file;

use serde::{Deserialize, Serialize};

pub use file::{DEFAULT_PATH, Error, append, read, write};

/// What an [`Entry`] measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A step of PID 1 before or besides the services.
    Phase,
    /// A system service: from the moment its turn came until its container ran (or, for one that others wait for, ended).
    Service,
}

/// One timed step of the boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Phase or service.
    pub kind: Kind,
    /// Name of the phase or service, unique within its kind.
    pub name: String,
    /// Start, in microseconds of `CLOCK_BOOTTIME`.
    pub start_us: u64,
    /// End, in microseconds of `CLOCK_BOOTTIME`.
    pub end_us: u64,
    /// Why it failed; absent when it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Entry {
    /// An entry of `kind` that began at `start_us` and ends now, failed if `error` is given.
    #[must_use]
    pub fn ending_now(
        kind: Kind,
        name: impl Into<String>,
        start_us: u64,
        error: Option<String>,
    ) -> Self {
        Self {
            kind,
            name: name.into(),
            start_us,
            end_us: now_us(),
            error,
        }
    }

    /// How long it took, in microseconds.
    #[must_use]
    pub fn duration_us(&self) -> u64 {
        self.end_us.saturating_sub(self.start_us)
    }
}

/// Microseconds since the kernel started (`CLOCK_BOOTTIME`).
#[must_use]
pub fn now_us() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_has_the_documented_shape() {
        let ok = Entry {
            kind: Kind::Phase,
            name: "mounts".into(),
            start_us: 5,
            end_us: 9,
            error: None,
        };
        let bad = Entry {
            kind: Kind::Service,
            name: "ntp".into(),
            start_us: 7,
            end_us: 8,
            error: Some("no image".into()),
        };
        assert_eq!(
            serde_json::to_string(&[ok, bad]).unwrap(),
            r#"[{"kind":"phase","name":"mounts","start_us":5,"end_us":9},{"kind":"service","name":"ntp","start_us":7,"end_us":8,"error":"no image"}]"#
        );
    }

    #[test]
    fn clock_runs_forward() {
        let before = now_us();
        let entry = Entry::ending_now(Kind::Phase, "x", before, None);
        assert!(entry.end_us >= before && before > 0);
    }
}
