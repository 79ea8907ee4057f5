//! The boot as a picture: one bar per phase and service on a time axis, as an SVG file.

use std::fmt::Write as _;

use coracle_boot_log::{Entry, Kind};

/// Pixels: width of the part with bars, left edge of it, height of a row, space above and below the rows.
const CHART: f64 = 860.0;
const LEFT: f64 = 170.0;
const ROW: f64 = 22.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 34.0;
/// Room right of the chart for the text of the last bars.
const RIGHT: f64 = 90.0;

/// Colours of bars: phases, services, whatever failed.
const PHASE: &str = "#4878a8";
const SERVICE: &str = "#5b9e6f";
const FAILED: &str = "#c4473a";

/// Draws the entries in the given order.
pub(crate) fn svg(title: &str, entries: &[Entry]) -> String {
    let end = entries.iter().map(|e| e.end_us).max().unwrap_or(0);
    let step = tick(end);
    // The axis ends at the tick after the last bar.
    let span = (end / step + 1) * step;
    let x = |us: u64| LEFT + us as f64 / span as f64 * CHART;
    let width = LEFT + CHART + RIGHT;
    let bottom = TOP + ROW * entries.len() as f64;
    let height = bottom + BOTTOM;
    let mut out = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<text x="12" y="24" font-size="16">{}</text>
"#,
        escape(title)
    );
    for (i, (colour, name)) in [(PHASE, "phase"), (SERVICE, "service"), (FAILED, "failed")]
        .iter()
        .enumerate()
    {
        let x = LEFT + 90.0 * i as f64;
        line(
            &mut out,
            &format!(
                r#"<rect x="{x}" y="36" width="12" height="12" fill="{colour}"/><text x="{}" y="46">{name}</text>"#,
                x + 18.0
            ),
        );
    }
    for us in (0..=span).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
        let x = x(us);
        line(
            &mut out,
            &format!(r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}" stroke="#ddd"/>"##),
        );
        line(
            &mut out,
            &format!(
                r##"<text x="{x:.1}" y="{}" text-anchor="middle" fill="#666">{} s</text>"##,
                bottom + 18.0,
                decimal(us, step)
            ),
        );
    }
    for (i, entry) in entries.iter().enumerate() {
        let y = TOP + ROW * i as f64;
        let colour = match (&entry.error, entry.kind) {
            (Some(_), _) => FAILED,
            (None, Kind::Phase) => PHASE,
            (None, Kind::Service) => SERVICE,
        };
        let (from, to) = (x(entry.start_us), x(entry.end_us.max(entry.start_us)));
        // A bar of no length would not be seen.
        let length = (to - from).max(1.5);
        let text = y + ROW * 0.68;
        let why = entry
            .error
            .as_deref()
            .map_or(String::new(), |e| format!(": {e}"));
        let name = escape(&entry.name);
        line(
            &mut out,
            &format!(
                r#"<g><title>{name} {:.3} s to {:.3} s{}</title><text x="{}" y="{text:.1}" text-anchor="end">{name}</text><rect x="{from:.1}" y="{:.1}" width="{length:.1}" height="{}" rx="2" fill="{colour}"/><text x="{:.1}" y="{text:.1}" fill="{}">{:.3} s</text></g>"#,
                entry.start_us as f64 / 1e6,
                entry.end_us as f64 / 1e6,
                escape(&why),
                LEFT - 8.0,
                y + 4.0,
                ROW - 8.0,
                from + length + 5.0,
                "#444",
                entry.duration_us() as f64 / 1e6,
            ),
        );
    }
    out.push_str("</svg>\n");
    out
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

/// Microseconds between the marks of an axis that reaches `end`: 1, 2 or 5 times a power of ten, for at most ten marks.
fn tick(end: u64) -> u64 {
    let mut step = 10_000;
    loop {
        for factor in [1, 2, 5] {
            if end / (step * factor) < 10 {
                return step * factor;
            }
        }
        step *= 10;
    }
}

/// Seconds with as many decimals as the marks need.
fn decimal(us: u64, step: u64) -> String {
    let decimals = match step {
        1_000_000.. => 0,
        100_000.. => 1,
        _ => 2,
    };
    format!("{:.decimals$}", us as f64 / 1e6)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_few() {
        let table = [
            (0, 10_000),
            (99_999, 10_000),
            (100_000, 20_000),
            (999_999, 100_000),
            (4_200_000, 500_000),
            (12_000_000, 2_000_000),
            (75_000_000, 10_000_000),
        ];
        for (end, want) in table {
            assert_eq!(tick(end), want, "{end}");
        }
    }

    #[test]
    fn every_entry_has_a_bar() {
        let entry = |kind, name: &str, start_us, end_us, error: Option<&str>| Entry {
            kind,
            name: name.into(),
            start_us,
            end_us,
            error: error.map(String::from),
        };
        let entries = [
            entry(Kind::Phase, "mounts", 400_000, 650_000, None),
            entry(
                Kind::Service,
                "ntp",
                650_000,
                900_000,
                Some("image <x> & more"),
            ),
        ];
        let want = include_str!("../tests/boot.svg");
        assert_eq!(svg("Coracle v0.1.0", &entries), want);
    }

    #[test]
    fn an_empty_log_draws_an_empty_chart() {
        let picture = svg("none", &[]);
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert!(!picture.contains("<g>"));
    }
}
