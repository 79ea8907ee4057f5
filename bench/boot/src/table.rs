//! Medians and ratios of many runs.

use serde_json::{Value, json};

use crate::measure::Measurement;

/// A column of the result: its name, its unit, how to read it from a run.
type Quantity = (&'static str, &'static str, fn(&Measurement) -> Option<f64>);

const QUANTITIES: &[Quantity] = &[
    ("kernel has started PID 1", "s", |m| Some(m.init)),
    ("system docker answers", "s", |m| m.system_docker),
    ("from PID 1 to system docker", "ms", |m| {
        Some((m.system_docker? - m.init) * 1000.0)
    }),
    ("console login", "s", |m| Some(m.console)),
    ("ssh answers", "s", |m| Some(m.ssh)),
    ("docker API answers", "s", |m| Some(m.docker_api)),
    ("`docker version` answers", "s", |m| Some(m.docker_version)),
    ("first container has run", "s", |m| Some(m.first_container)),
    ("memory in use, idle", "MiB", |m| {
        Some(m.memory_kib / 1024.0)
    }),
    ("processes", "", |m| Some(m.processes)),
    ("PSS of PID 1", "MiB", |m| Some(m.init_pss_kib / 1024.0)),
];

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub name: &'static str,
    pub unit: &'static str,
    pub coracle: Option<f64>,
    pub debian: Option<f64>,
}

impl Row {
    /// How many times as much Debian takes.
    fn ratio(&self) -> Option<f64> {
        Some(self.debian? / self.coracle.filter(|value| *value > 0.0)?)
    }
}

/// The medians of all quantities.
pub fn rows(coracle: &[Measurement], debian: &[Measurement]) -> Vec<Row> {
    let median_of = |runs: &[Measurement], read: fn(&Measurement) -> Option<f64>| {
        median(runs.iter().filter_map(read).collect())
    };
    QUANTITIES
        .iter()
        .map(|(name, unit, read)| Row {
            name,
            unit,
            coracle: median_of(coracle, *read),
            debian: median_of(debian, *read),
        })
        .collect()
}

/// The table as text.
pub fn render(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<34}{:>10}{:>10}{:>8}\n",
        "median", "coracle", "debian", "ratio"
    );
    for row in rows {
        let name = if row.unit.is_empty() {
            row.name.to_owned()
        } else {
            format!("{} ({})", row.name, row.unit)
        };
        let cell =
            |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
        text += &format!(
            "{name:<34}{:>10}{:>10}{:>8}\n",
            cell(row.coracle),
            cell(row.debian),
            cell(row.ratio())
        );
    }
    text
}

/// The table as JSON.
pub fn to_json(rows: &[Row]) -> Value {
    let row = |row: &Row| json!({"name": row.name, "unit": row.unit, "coracle": row.coracle, "debian": row.debian, "ratio": row.ratio()});
    rows.iter().map(row).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        for (values, expected) in [
            (vec![], None),
            (vec![3.0], Some(3.0)),
            (vec![9.0, 1.0, 2.0], Some(2.0)),
            (vec![4.0, 1.0], Some(2.5)),
        ] {
            assert_eq!(median(values.clone()), expected, "{values:?}");
        }
    }

    #[test]
    fn renders_ratios_and_gaps() {
        let rows = [
            Row {
                name: "ssh answers",
                unit: "s",
                coracle: Some(8.0),
                debian: Some(20.0),
            },
            Row {
                name: "system docker answers",
                unit: "s",
                coracle: Some(1.0),
                debian: None,
            },
        ];
        let expected = "\
median                               coracle    debian   ratio
ssh answers (s)                          8.0      20.0     2.5
system docker answers (s)                1.0         –       –
";
        assert_eq!(render(&rows), expected);
    }
}
