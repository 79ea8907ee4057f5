//! An alarm on the wall clock that also rings when the clock is set (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`): a machine
//! without battery-backed clock jumps by decades when NTP answers, and jobs must not run late or all at once because of it.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::sync::mpsc;

use crate::Error;

/// Why the alarm rang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ring {
    /// The time has come.
    Due,
    /// Somebody set the clock; the alarm must be set again.
    ClockSet,
}

/// The alarm. A thread of its own sleeps on it as long as the process lives.
pub(crate) struct Alarm {
    timer: Arc<OwnedFd>,
    rings: mpsc::Receiver<Ring>,
}

impl Alarm {
    /// An alarm that is not set.
    pub(crate) fn new() -> Result<Self, Error> {
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC);
        let timer = Arc::new(timer.map_err(failed)?);
        let (sender, rings) = mpsc::channel(1);
        let sleeper = Arc::clone(&timer);
        std::thread::spawn(move || {
            let mut expirations = [0_u8; 8];
            loop {
                let ring = match rustix::io::read(&*sleeper, &mut expirations) {
                    Ok(_) => Ring::Due,
                    Err(Errno::CANCELED) => Ring::ClockSet,
                    Err(Errno::INTR) => continue,
                    Err(_) => return,
                };
                if sender.blocking_send(ring).is_err() {
                    return;
                }
            }
        });
        Ok(Self { timer, rings })
    }

    /// Sets the alarm to a time, which may have passed already, or to none.
    pub(crate) fn set(&self, at: Option<Timestamp>) -> Result<(), Error> {
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // A time of zero would switch the timer off, and with it the notice of the clock being set.
        let value = at.map_or(
            Timespec {
                tv_sec: i64::MAX,
                tv_nsec: 0,
            },
            |at| Timespec {
                tv_sec: at.as_second().max(1),
                tv_nsec: at.subsec_nanosecond().max(0).into(),
            },
        );
        let setting = Itimerspec {
            it_interval: zero,
            it_value: value,
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        match timerfd_settime(&*self.timer, flags, &setting) {
            // The clock was set since the last look: the timer is armed all the same, and the plan is about to be made anew.
            Ok(_) | Err(Errno::CANCELED) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Waits until the alarm rings.
    pub(crate) async fn ring(&mut self) -> Ring {
        match self.rings.recv().await {
            Some(ring) => ring,
            // The thread only ends when the timer is broken, which reading it cannot make it: never again.
            None => std::future::pending().await,
        }
    }
}

fn failed(error: Errno) -> Error {
    Error::File {
        action: "use",
        path: PathBuf::from("timerfd"),
        source: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[tokio::test]
    async fn alarm_rings_when_its_time_has_come() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(None).unwrap();
        alarm.set(Some(Timestamp::UNIX_EPOCH)).unwrap();
        assert_eq!(alarm.ring().await, Ring::Due);
        let at = Timestamp::now() + SignedDuration::from_millis(30);
        alarm.set(Some(at)).unwrap();
        assert_eq!(alarm.ring().await, Ring::Due);
        assert!(Timestamp::now() >= at);
    }
}
