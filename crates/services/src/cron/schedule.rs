//! When a job runs: the notations that container-crontab understood (D2-010).

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::Error;

/// A schedule, in UTC.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    text: String,
    when: When,
}

#[derive(Debug, Clone)]
enum When {
    /// Five or six fields (seconds first), or a nickname such as `@hourly`.
    Pattern(Box<Cron>),
    /// `@every 1h30m`.
    Every(SignedDuration),
}

impl Schedule {
    /// Reads the label's value.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |why: String| Error::Schedule {
            schedule: text.into(),
            why,
        };
        let when = match text.trim().strip_prefix("@every ") {
            Some(interval) => {
                let interval: SignedDuration = interval
                    .trim()
                    .parse()
                    .map_err(|_| wrong("not a duration".into()))?;
                if interval < SignedDuration::from_secs(1) {
                    return Err(wrong("less than a second".into()));
                }
                When::Every(interval)
            }
            None => {
                let parser = CronParser::builder().seconds(Seconds::Optional).build();
                let pattern = parser
                    .parse(text)
                    .map_err(|e| wrong(reason(&e.to_string())))?;
                When::Pattern(Box::new(pattern))
            }
        };
        let text = text.into();
        Ok(Self { text, when })
    }

    /// The first time after `now`; `None` when there is none.
    pub(crate) fn after(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.when {
            When::Pattern(pattern) => {
                let now = now.to_zoned(TimeZone::UTC);
                let next = pattern.find_next_occurrence(&now, false).ok()?;
                Some(next.timestamp())
            }
            When::Every(interval) => now.checked_add(*interval).ok(),
        }
    }

    /// As written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// The parser's reason without its prefixes and full stop.
fn reason(text: &str) -> String {
    let text = text.rsplit(": ").next().unwrap_or(text);
    text.trim_end_matches('.').to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_notations_give_times() {
        let now: Timestamp = "2026-11-22T04:25:30Z".parse().unwrap();
        let table = [
            ("*/10 * * * * *", "2026-11-22T04:25:40Z"),
            ("0 30 4 * * *", "2026-11-22T04:30:00Z"),
            ("30 4 * * *", "2026-11-22T04:30:00Z"),
            ("0 0 12 * * MON", "2026-11-23T12:00:00Z"),
            ("@hourly", "2026-11-22T05:00:00Z"),
            ("@daily", "2026-11-23T00:00:00Z"),
            ("@weekly", "2026-11-29T00:00:00Z"),
            ("@monthly", "2026-12-01T00:00:00Z"),
            ("@yearly", "2027-01-01T00:00:00Z"),
            ("@every 1h30m", "2026-11-22T05:55:30Z"),
        ];
        for (text, want) in table {
            let next = Schedule::parse(text).unwrap().after(now).unwrap();
            assert_eq!(next.to_string(), want, "{text}");
        }
        assert_eq!(Schedule::parse("0 0 30 2 *").unwrap().after(now), None);
    }

    #[test]
    fn nonsense_is_explained() {
        let hint = "write five or six cron fields, @hourly, @daily or @every 1h";
        let table = [
            ("@every soon", "not a duration"),
            ("@every 0s", "less than a second"),
            ("61 * * * *", "number out of bounds"),
        ];
        for (text, why) in table {
            let error = Schedule::parse(text).unwrap_err().to_string();
            assert_eq!(error, format!("'{text}' is not a schedule ({why}); {hint}"));
        }
        for text in ["", "* *", "@sometimes", "tomorrow"] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }
}
