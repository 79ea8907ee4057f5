//! Events: `GET /events`.

use coracle_engine::{Event, Kind};
use serde_json::{Map, Value, json};

/// One event. `status`, `id` and `from` are how clients knew them before API 1.22; some still read them.
pub fn event(event: &Event) -> Value {
    let mut out = Map::new();
    if matches!(event.kind, Kind::Container | Kind::Image) {
        out.insert("status".into(), event.action.as_str().into());
        out.insert("id".into(), event.id.as_str().into());
    }
    if event.kind == Kind::Container {
        out.insert(
            "from".into(),
            event
                .attributes
                .get("image")
                .map_or("", String::as_str)
                .into(),
        );
    }
    out.insert("Type".into(), event.kind.name().into());
    out.insert("Action".into(), event.action.as_str().into());
    out.insert(
        "Actor".into(),
        json!({"ID": event.id, "Attributes": event.attributes}),
    );
    out.insert("scope".into(), "local".into());
    out.insert("time".into(), event.time.as_second().into());
    // Fits until the year 2262.
    out.insert(
        "timeNano".into(),
        i64::try_from(event.time.as_nanosecond())
            .unwrap_or(i64::MAX)
            .into(),
    );
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::EventMessage;
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn events_have_their_old_and_new_names() {
        let attributes = [("image".to_owned(), "busybox".to_owned())];
        let start = Event {
            kind: Kind::Container,
            action: "start".into(),
            id: "abc".into(),
            attributes: attributes.into(),
            time: Timestamp::new(1_700_000_000, 5).unwrap(),
        };
        let value = event(&start);
        assert_eq!(
            value,
            json!({
                "status": "start", "id": "abc", "from": "busybox", "Type": "container", "Action": "start",
                "Actor": {"ID": "abc", "Attributes": {"image": "busybox"}}, "scope": "local", "time": 1_700_000_000,
                "timeNano": 1_700_000_000_000_000_005_i64
            })
        );
        serde_json::from_value::<EventMessage>(value).unwrap();
        let volume = Event {
            kind: Kind::Volume,
            attributes: Default::default(),
            ..start
        };
        assert_eq!(event(&volume).get("status"), None);
    }
}
