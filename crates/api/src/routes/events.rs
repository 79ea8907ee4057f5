//! `GET /events`

use std::collections::VecDeque;

use coracle_engine::{Event, EventFilter};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::answer::{Answer, JSON};
use crate::body;
use crate::call::Call;
use crate::error::{Error, Result};
use crate::render;

/// `GET /events`
pub async fn events(call: Call) -> Result<Answer> {
    let (since, until) = (call.query.time("since")?, call.query.time("until")?);
    if let (Some(since), Some(until)) = (since, until)
        && since > until
    {
        let given = |name| call.query.get(name).unwrap_or_default();
        return Err(Error::BadRequest(format!(
            "`since` time ({}) cannot be after `until` time ({})",
            given("since"),
            given("until")
        )));
    }
    let filter = EventFilter {
        terms: call.query.filters(EventFilter::KEYS)?.into_terms(),
    };
    // With an end but no beginning, everything that is remembered is wanted.
    let (past, live) = call
        .engine
        .events()
        .subscribe(since.or(until.map(|_| Timestamp::UNIX_EPOCH)));
    let past = past
        .into_iter()
        .filter(|event| until.is_none_or(|until| event.time <= until))
        .collect();
    let feed = Feed {
        past,
        live,
        filter,
        end: until.map(deadline),
    };
    let events = stream::unfold(feed, async |mut feed| Some((feed.next().await?, feed)));
    Ok(Answer::stream(
        JSON,
        body::json_lines(events.map(|event| render::event::event(&event))),
    ))
}

fn deadline(until: Timestamp) -> Instant {
    // A time that has passed is now.
    let left = until
        .duration_since(Timestamp::now())
        .try_into()
        .unwrap_or_default();
    let now = Instant::now();
    // So far in the future that it cannot be told: a day at a time would not matter either.
    now.checked_add(left)
        .unwrap_or(now + std::time::Duration::from_secs(86_400))
}

struct Feed {
    past: VecDeque<Event>,
    live: broadcast::Receiver<Event>,
    filter: EventFilter,
    end: Option<Instant>,
}

impl Feed {
    async fn next(&mut self) -> Option<Event> {
        loop {
            let event = match self.past.pop_front() {
                Some(event) => event,
                None => self.wait().await?,
            };
            if self.filter.accepts(&event) {
                return Some(event);
            }
        }
    }

    async fn wait(&mut self) -> Option<Event> {
        loop {
            let received = match self.end {
                Some(end) => tokio::time::timeout_at(end, self.live.recv()).await.ok()?,
                None => self.live.recv().await,
            };
            match received {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(count)) => {
                    tracing::warn!("a slow client of the events has lost {count} of them");
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
