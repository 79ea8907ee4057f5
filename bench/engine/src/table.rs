//! Medians, minima, and how they compare with what SPECIFICATION.md promises.

use serde_json::{Value, json};

/// What is compared, by the name that the measuring program gives it: how many times as much dockerd may at least be
/// expected to take.
const RATIOS: &[(&str, f64)] = &[
    ("create+start+wait+rm, no network", 7.0),
    ("create+start+wait+rm, bridge", 5.0),
    ("docker run --rm", 2.5),
    ("exec", 3.0),
    ("start in parallel", 4.0),
    ("log throughput", 1.0),
    ("pull", 1.0),
    ("load", 1.0),
];
/// What is limited by itself: the largest value.
const LIMITS: &[(&str, f64)] = &[("PSS idle", 12.0), ("PSS per container", 0.3)];
/// Pairs of which the second is at most so many times the first.
const GROWTH: &[(&str, &str, f64)] = &[
    ("ps, 10 containers", "ps, many containers", 1.5),
    ("one more of 10", "one more of many", 1.5),
];

/// Values of one quantity on one engine.
struct Samples(Vec<f64>);

impl Samples {
    fn of(quantity: &Value, engine: &str) -> Self {
        let values = quantity["samples"][engine].as_array();
        let mut values: Vec<f64> = values
            .into_iter()
            .flatten()
            .filter_map(Value::as_f64)
            .collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    fn least(&self) -> Option<f64> {
        self.0.first().copied()
    }

    fn median(&self) -> Option<f64> {
        let middle = self.0.len() / 2;
        match self.0.len() {
            0 => None,
            length if length % 2 == 1 => Some(self.0[middle]),
            _ => Some(f64::midpoint(self.0[middle - 1], self.0[middle])),
        }
    }
}

fn quantities(measured: &Value) -> impl Iterator<Item = &Value> {
    measured["quantities"].as_array().into_iter().flatten()
}

fn engines(measured: &Value) -> Vec<&str> {
    let names = measured["engines"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str).collect()
}

fn find<'a>(measured: &'a Value, name: &str) -> Option<&'a Value> {
    quantities(measured).find(|quantity| quantity["name"] == name)
}

/// How many times as much the second engine takes as the first: of the medians and of the minima.
fn ratio(
    quantity: &Value,
    ours: &str,
    other: &str,
    of: fn(&Samples) -> Option<f64>,
) -> Option<f64> {
    let own = of(&Samples::of(quantity, ours)).filter(|value| *value > 0.0)?;
    Some(of(&Samples::of(quantity, other))? / own)
}

/// The promise that a quantity is held to, and whether it is.
fn promise(measured: &Value, name: &str) -> Option<(String, bool)> {
    let quantity = find(measured, name)?;
    let engines = engines(measured);
    let (ours, other) = (*engines.first()?, engines.get(1));
    if let Some((_, least)) = RATIOS.iter().find(|(known, _)| *known == name) {
        let found = ratio(quantity, ours, other?, Samples::median)?;
        return Some((format!("≥ {least}×"), found >= *least));
    }
    let own = Samples::of(quantity, ours).median()?;
    if let Some((_, most)) = LIMITS.iter().find(|(known, _)| *known == name) {
        return Some((format!("≤ {most}"), own <= *most));
    }
    let (base, _, most) = GROWTH.iter().find(|(_, known, _)| *known == name)?;
    let base = Samples::of(find(measured, base)?, ours).median()?;
    Some((format!("≤ {most}× of 10"), own <= base * most))
}

/// The table as text: medians, minima in brackets.
pub fn render(measured: &Value) -> String {
    let engines = engines(measured);
    let Some((ours, others)) = engines.split_first() else {
        return "nothing was measured\n".to_owned();
    };
    let cell = |value: Option<f64>| value.map_or("–".to_owned(), short);
    let mut text = format!("{:<42}{:>20}", "median (minimum)", ours);
    for other in others {
        text += &format!("{other:>20}{:>8}{:>8}", "ratio", "(min)");
    }
    text += "  promise\n";
    for quantity in quantities(measured) {
        let name = quantity["name"].as_str().unwrap_or_default();
        let unit = quantity["unit"].as_str().unwrap_or_default();
        text += &format!("{:<42}", format!("{name} ({unit})"));
        for engine in &engines {
            let samples = Samples::of(quantity, engine);
            let both = format!("{} ({})", cell(samples.median()), cell(samples.least()));
            text += &format!("{both:>20}");
            if engine != ours {
                let of = |of| cell(ratio(quantity, ours, engine, of));
                text += &format!("{:>8}{:>8}", of(Samples::median), of(Samples::least));
            }
        }
        if let Some((promise, kept)) = promise(measured, name) {
            text += &format!("  {promise}{}", if kept { "" } else { "  MISSED" });
        }
        text.push('\n');
    }
    for problem in measured["problems"].as_array().into_iter().flatten() {
        text += &format!("not measured: {}\n", problem.as_str().unwrap_or_default());
    }
    text
}

/// Three significant digits, mostly.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// The table as JSON.
pub fn to_json(measured: &Value) -> Value {
    let engines = engines(measured);
    let of_engine = |quantity: &Value, engine: &str| {
        let samples = Samples::of(quantity, engine);
        let ours = engines.first().copied().unwrap_or_default();
        json!({
            "engine": engine, "median": samples.median(), "minimum": samples.least(),
            "ratio": ratio(quantity, ours, engine, Samples::median),
            "ratio_of_minima": ratio(quantity, ours, engine, Samples::least),
        })
    };
    let row = |quantity: &Value| {
        let columns: Vec<Value> = engines
            .iter()
            .map(|engine| of_engine(quantity, engine))
            .collect();
        let promise = promise(measured, quantity["name"].as_str().unwrap_or_default());
        json!({
            "name": quantity["name"], "unit": quantity["unit"], "engines": columns,
            "promise": promise.as_ref().map(|(text, _)| text), "kept": promise.map(|(_, kept)| kept),
        })
    };
    quantities(measured).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_minima_and_promises_are_shown() {
        let measured = json!({
            "engines": ["system-docker", "docker"],
            "quantities": [
                {"name": "exec", "unit": "ms", "samples": {"system-docker": [10.0, 20.0, 12.0], "docker": [70.0, 48.0, 50.0]}},
                {"name": "pull", "unit": "s", "samples": {"system-docker": [4.0], "docker": [2.0]}},
                {"name": "PSS idle", "unit": "MB", "samples": {"system-docker": [5.5], "docker": [120.0]}},
                {"name": "ps, 10 containers", "unit": "ms", "samples": {"system-docker": [2.0]}},
                {"name": "ps, many containers", "unit": "ms", "samples": {"system-docker": [2.9]}},
            ],
            "problems": ["load on docker: no space"],
        });
        let expected = "\
median (minimum)                                 system-docker              docker   ratio   (min)  promise
exec (ms)                                          12.0 (10.0)         50.0 (48.0)    4.17    4.80  ≥ 3×
pull (s)                                           4.00 (4.00)         2.00 (2.00)    0.50    0.50  ≥ 1×  MISSED
PSS idle (MB)                                      5.50 (5.50)           120 (120)    21.8    21.8  ≤ 12
ps, 10 containers (ms)                             2.00 (2.00)               – (–)       –       –
ps, many containers (ms)                           2.90 (2.90)               – (–)       –       –  ≤ 1.5× of 10
not measured: load on docker: no space
";
        assert_eq!(render(&measured), expected);
        assert_eq!(to_json(&measured)[1]["kept"], json!(false));
    }
}
