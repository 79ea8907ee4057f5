//! Progress of pulls and pushes: the JSON messages of Docker's `jsonmessage` stream.

use coracle_engine::Progress;
use serde_json::{Value, json};

/// Columns of a bar.
const WIDTH: u64 = 50;

/// One message.
pub fn message(progress: &Progress) -> Value {
    match progress {
        Progress::Message { id, text } if id.is_empty() => json!({ "status": text }),
        Progress::Message { id, text } => json!({"status": text, "id": id}),
        Progress::Layer {
            id,
            action,
            done: None,
        } => json!({"status": action, "progressDetail": {}, "id": id}),
        Progress::Layer {
            id,
            action,
            done: Some((done, all)),
        } => json!({
            "status": action,
            "progressDetail": {"current": done, "total": all},
            "progress": bar(*done, *all),
            "id": id,
        }),
        Progress::Pushed { tag, digest, size } => json!({
            "progressDetail": {},
            "aux": {"Tag": tag, "Digest": digest.to_string(), "Size": size},
        }),
    }
}

/// `[=====>     ]  1.05MB/10.5MB`, for clients that show it as it is.
fn bar(done: u64, all: u64) -> String {
    let done = done.min(all);
    let filled = done.saturating_mul(WIDTH).checked_div(all).unwrap_or(WIDTH);
    let columns = |count: u64| usize::try_from(count).unwrap_or(0);
    let (left, right) = (columns(filled), columns(WIDTH - filled));
    format!(
        "[{}>{}] {:>8}/{}",
        "=".repeat(left),
        " ".repeat(right),
        human(done),
        human(all)
    )
}

/// Bytes with four significant digits, in powers of 1000.
fn human(bytes: u64) -> String {
    let mut unit = 0;
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut divisor = 1_u64;
    while bytes / divisor >= 1000 && unit + 1 < units.len() {
        divisor *= 1000;
        unit += 1;
    }
    // Thousandths, so that no floating point is needed.
    let thousandths = u128::from(bytes) * 1000 / u128::from(divisor);
    let (whole, rest) = (thousandths / 1000, thousandths % 1000);
    let digits = match whole {
        0..10 => 3,
        10..100 => 2,
        100..1000 => 1,
        _ => 0,
    };
    let fraction: String = format!("{rest:03}").chars().take(digits).collect();
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{whole}{point}{fraction}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use coracle_image::Digest;

    use super::*;

    #[test]
    fn messages_are_dockers() {
        let digest = Digest::of(b"x");
        for (progress, expected) in [
            (
                Progress::message("latest", "Pulling from library/busybox"),
                json!({"status": "Pulling from library/busybox", "id": "latest"}),
            ),
            (
                Progress::message("", "Digest: x"),
                json!({"status": "Digest: x"}),
            ),
            (
                Progress::layer(&digest, "Pull complete"),
                json!({"status": "Pull complete", "progressDetail": {}, "id": "2d711642b726"}),
            ),
            (
                Progress::part(&digest, "Downloading", 1_048_576, 2_000_000),
                json!({
                    "status": "Downloading",
                    "progressDetail": {"current": 1_048_576, "total": 2_000_000},
                    "progress": "[==========================>                        ]  1.048MB/2MB",
                    "id": "2d711642b726",
                }),
            ),
            (
                Progress::Pushed {
                    tag: "1".into(),
                    digest: digest.clone(),
                    size: 5,
                },
                json!({"progressDetail": {}, "aux": {"Tag": "1", "Digest": digest.to_string(), "Size": 5}}),
            ),
        ] {
            assert_eq!(message(&progress), expected);
        }
    }

    #[test]
    fn bars_fill() {
        for (done, all, expected) in [
            (
                0,
                100,
                "[>                                                  ]       0B/100B",
            ),
            (
                100,
                100,
                "[==================================================>]     100B/100B",
            ),
            (
                7,
                0,
                "[==================================================>]       0B/0B",
            ),
        ] {
            assert_eq!(bar(done, all), expected);
        }
        for (bytes, expected) in [
            (999, "999B"),
            (1000, "1kB"),
            (12_345_678, "12.34MB"),
            (123_456, "123.4kB"),
        ] {
            assert_eq!(human(bytes), expected);
        }
    }
}
