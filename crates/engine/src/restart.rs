//! Restart policies: whether and when a container that has ended is started again.

use std::time::Duration;

use bollard_stubs::models::{RestartPolicy, RestartPolicyNameEnum};

use crate::error::{Error, Result};

/// First pause before a restart.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A run of this length proves that the container is well: pauses begin anew.
const GOOD_RUN: Duration = Duration::from_secs(10);

/// When a container is started again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Policy {
    /// Never.
    No,
    /// After every end that was not asked for, and whenever the engine starts.
    Always,
    /// As `Always`, but not when the engine starts and a client had stopped it.
    UnlessStopped,
    /// After an end with another exit code than 0, at most so many times (0: no limit).
    OnFailure(u64),
}

impl Policy {
    /// The policy of a `HostConfig.RestartPolicy`.
    ///
    /// # Errors
    /// Docker's text when a retry count is given to a policy that has none, or is negative.
    pub fn parse(policy: Option<&RestartPolicy>) -> Result<Self> {
        let Some(policy) = policy else {
            return Ok(Self::No);
        };
        let count = policy.maximum_retry_count.unwrap_or(0);
        let name = policy.name.unwrap_or(RestartPolicyNameEnum::NO);
        if count != 0 && name != RestartPolicyNameEnum::ON_FAILURE {
            let hint = if count < 0 {
                " and cannot be negative"
            } else {
                ""
            };
            return Err(Error::Invalid(format!(
                "invalid restart policy: maximum retry count can only be used with 'on-failure'{hint}"
            )));
        }
        Ok(match name {
            RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO => Self::No,
            RestartPolicyNameEnum::ALWAYS => Self::Always,
            RestartPolicyNameEnum::UNLESS_STOPPED => Self::UnlessStopped,
            RestartPolicyNameEnum::ON_FAILURE => {
                Self::OnFailure(u64::try_from(count).map_err(|_| {
                    Error::Invalid(
                        "invalid restart policy: maximum retry count cannot be negative".into(),
                    )
                })?)
            }
        })
    }

    /// Whether a run that ended with `exit_code` is followed by another one; `restarts` were made already.
    pub fn wants_restart(self, exit_code: i64, restarts: u64, stopped_by_user: bool) -> bool {
        match self {
            Self::No => false,
            Self::Always | Self::UnlessStopped => !stopped_by_user,
            Self::OnFailure(limit) => {
                !stopped_by_user && exit_code != 0 && (limit == 0 || restarts < limit)
            }
        }
    }

    /// Whether the container is started when the engine is.
    pub fn wants_start_with_engine(self, exit_code: i64, stopped_by_user: bool) -> bool {
        match self {
            Self::No => false,
            Self::Always => true,
            Self::UnlessStopped => !stopped_by_user,
            Self::OnFailure(_) => !stopped_by_user && exit_code != 0,
        }
    }
}

/// The growing pauses between restarts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Backoff {
    last: Duration,
}

impl Backoff {
    /// As it was after a pause of this length.
    pub fn after(last: Duration) -> Self {
        Self { last }
    }

    /// The last pause.
    pub fn last(self) -> Duration {
        self.last
    }

    /// The pause after a run of this length.
    pub fn next(&mut self, run: Duration) -> Duration {
        self.last = if self.last.is_zero() || run >= GOOD_RUN {
            FIRST_PAUSE
        } else {
            (self.last * 2).min(LONGEST_PAUSE)
        };
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_begin_anew_after_a_good_run() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..12)
            .map(|_| backoff.next(Duration::from_secs(1)).as_millis())
            .collect();
        assert_eq!(
            pauses,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000
            ]
        );
        assert_eq!(backoff.next(Duration::from_secs(10)).as_millis(), 100);
    }

    #[test]
    fn policies_decide_by_code_count_and_the_users_will() {
        let table = [
            (Policy::No, 1, 0, false, false),
            (Policy::Always, 0, 99, false, true),
            (Policy::Always, 0, 0, true, false),
            (Policy::UnlessStopped, 0, 0, false, true),
            (Policy::UnlessStopped, 1, 0, true, false),
            (Policy::OnFailure(0), 0, 0, false, false),
            (Policy::OnFailure(0), 1, 50, false, true),
            (Policy::OnFailure(2), 1, 1, false, true),
            (Policy::OnFailure(2), 1, 2, false, false),
        ];
        for (policy, code, restarts, stopped, expected) in table {
            assert_eq!(
                policy.wants_restart(code, restarts, stopped),
                expected,
                "{policy:?} {code} {restarts} {stopped}"
            );
        }
        assert!(Policy::Always.wants_start_with_engine(0, true));
        assert!(!Policy::UnlessStopped.wants_start_with_engine(0, true));
    }

    #[test]
    fn retry_counts_belong_to_on_failure() {
        let policy = |name, count| RestartPolicy {
            name: Some(name),
            maximum_retry_count: Some(count),
        };
        assert_eq!(Policy::parse(None).unwrap(), Policy::No);
        let parsed = Policy::parse(Some(&policy(RestartPolicyNameEnum::ON_FAILURE, 3))).unwrap();
        assert_eq!(parsed, Policy::OnFailure(3));
        for (name, count) in [
            (RestartPolicyNameEnum::ALWAYS, 1),
            (RestartPolicyNameEnum::ON_FAILURE, -1),
        ] {
            assert!(Policy::parse(Some(&policy(name, count))).is_err());
        }
    }
}
