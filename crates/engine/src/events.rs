//! What happened: the events that `docker events` shows, as a stream with a short memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// How many events `since` can reach back to (Docker keeps 256).
const REMEMBERED: usize = 256;
/// How many events a slow listener may lag behind before it loses some.
const QUEUE: usize = 256;

/// What kind of object an event is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A network.
    Network,
    /// The engine itself.
    Daemon,
}

impl Kind {
    /// The `Type` field of the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::Daemon => "daemon",
        }
    }
}

/// One event.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Event {
    /// What it is about.
    pub kind: Kind,
    /// What happened: `start`, `die`, `exec_create: sh`, …
    pub action: String,
    /// Id of the object.
    pub id: String,
    /// Name, image, labels, exit code and so on.
    pub attributes: BTreeMap<String, String>,
    /// When.
    #[serde(with = "crate::time::text")]
    pub time: Timestamp,
}

/// The stream of events.
#[derive(Debug)]
pub struct Events {
    past: Mutex<VecDeque<Event>>,
    live: broadcast::Sender<Event>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            past: Mutex::default(),
            live: broadcast::channel(QUEUE).0,
        }
    }
}

impl Events {
    /// Publishes an event that happens now.
    pub fn publish(
        &self,
        kind: Kind,
        action: impl Into<String>,
        id: &str,
        attributes: BTreeMap<String, String>,
    ) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        // The time is taken under the lock, so that the order in memory is that of the times.
        let event = Event {
            kind,
            action: action.into(),
            id: id.to_owned(),
            attributes,
            time: Timestamp::now(),
        };
        if past.len() == REMEMBERED {
            past.pop_front();
        }
        past.push_back(event.clone());
        // Nobody listening is no error.
        let _ = self.live.send(event);
    }

    /// The remembered events since `since` (none without it), and the stream of those that follow, without a gap.
    pub fn subscribe(&self, since: Option<Timestamp>) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let live = self.live.subscribe();
        let Some(since) = since else {
            return (Vec::new(), live);
        };
        (
            past.iter()
                .filter(|event| event.time >= since)
                .cloned()
                .collect(),
            live,
        )
    }

    /// What is remembered.
    pub fn past(&self) -> Vec<Event> {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        past.iter().cloned().collect()
    }

    /// Remembers what a predecessor did.
    pub fn remember(&self, events: Vec<Event>) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        past.extend(events);
    }

    /// How many clients listen.
    pub fn listeners(&self) -> usize {
        self.live.receiver_count()
    }
}

/// Which events a client wants: `filters` of `GET /events`. Several values of a key are alternatives, several keys must
/// all hold.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Key to accepted values.
    pub terms: BTreeMap<String, Vec<String>>,
}

impl EventFilter {
    /// The keys that Docker knows.
    pub const KEYS: &[&str] = &[
        "config",
        "container",
        "daemon",
        "event",
        "image",
        "label",
        "network",
        "node",
        "plugin",
        "scope",
        "secret",
        "service",
        "type",
        "volume",
    ];

    /// Whether `event` passes.
    pub fn accepts(&self, event: &Event) -> bool {
        self.terms.iter().all(|(key, values)| {
            values.is_empty() || values.iter().any(|value| one(key, value, event))
        })
    }
}

fn one(key: &str, value: &str, event: &Event) -> bool {
    let attribute = |name: &str| event.attributes.get(name).map(String::as_str);
    let object = |kind: Kind| {
        event.kind == kind && (event.id.starts_with(value) || attribute("name") == Some(value))
    };
    match key {
        "type" => event.kind.name() == value,
        // `exec_start: sh -c ls` is found as `exec_start`.
        "event" => {
            event.action == value
                || event
                    .action
                    .split_once(": ")
                    .is_some_and(|(verb, _)| verb == value)
        }
        "scope" => value == "local",
        "label" => match value.split_once('=') {
            Some((name, wanted)) => attribute(name) == Some(wanted),
            None => event.attributes.contains_key(value),
        },
        "container" => {
            object(Kind::Container)
                || attribute("container").is_some_and(|id| id.starts_with(value))
        }
        "volume" => object(Kind::Volume) || attribute("volume") == Some(value),
        "network" => object(Kind::Network),
        "daemon" => object(Kind::Daemon),
        "image" => {
            let bare = |name: &str| name.split(':').next().unwrap_or_default().to_owned();
            let is = |name: &str| name == value || bare(name) == value;
            match event.kind {
                Kind::Image => is(&event.id) || attribute("name").is_some_and(is),
                _ => attribute("image").is_some_and(is),
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: Kind, action: &str, id: &str, attributes: &[(&str, &str)]) -> Event {
        Event {
            kind,
            action: action.into(),
            id: id.into(),
            attributes: attributes
                .iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect(),
            time: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn filters_are_alternatives_within_a_key_and_conditions_between_keys() {
        let start = event(
            Kind::Container,
            "start",
            "abc123",
            &[("name", "web"), ("image", "busybox:latest"), ("a", "b")],
        );
        let exec = event(Kind::Container, "exec_start: ls -l", "abc123", &[]);
        type Terms = &'static [(&'static str, &'static [&'static str])];
        let table: &[(Terms, &Event, bool)] = &[
            (&[], &start, true),
            (&[("event", &["stop", "start"])], &start, true),
            (&[("event", &["exec_start"])], &exec, true),
            (
                &[("event", &["start"]), ("type", &["image"])],
                &start,
                false,
            ),
            (&[("container", &["web"])], &start, true),
            (&[("container", &["abc"])], &start, true),
            (&[("container", &["other"])], &start, false),
            (&[("image", &["busybox"])], &start, true),
            (&[("label", &["a=b"])], &start, true),
            (&[("label", &["a=c"])], &start, false),
            (&[("label", &["a"])], &start, true),
        ];
        for (terms, event, expected) in table {
            let terms = terms
                .iter()
                .map(|(key, values)| {
                    (
                        key.to_string(),
                        values.iter().map(ToString::to_string).collect(),
                    )
                })
                .collect();
            assert_eq!(EventFilter { terms }.accepts(event), *expected);
        }
    }

    #[test]
    fn memory_is_bounded_and_continues_into_the_stream() {
        let events = Events::default();
        for number in 0..300 {
            events.publish(Kind::Daemon, number.to_string(), "x", BTreeMap::new());
        }
        let (past, mut live) = events.subscribe(Some(Timestamp::UNIX_EPOCH));
        assert_eq!((past.len(), past[0].action.as_str()), (256, "44"));
        events.publish(Kind::Daemon, "next", "x", BTreeMap::new());
        assert_eq!(live.try_recv().unwrap().action, "next");
        assert!(events.subscribe(None).0.is_empty());
    }
}
