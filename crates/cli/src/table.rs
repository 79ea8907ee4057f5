//! Tables of text with aligned columns.

/// On which side of its column a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Lays out rows; columns are two blanks apart, and no line ends in blanks. Every row has as many cells as `align`.
pub(crate) fn layout(align: &[Align], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..align.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let blanks = " ".repeat(widths[column] - cell.chars().count());
            match align[column] {
                Align::Left => line.push_str(&format!("{cell}{blanks}  ")),
                Align::Right => line.push_str(&format!("{blanks}{cell}  ")),
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows =
            [["Name", "Time"], ["é", "1.5"], ["longer", ""]].map(|r| r.map(String::from).to_vec());
        assert_eq!(
            layout(&[Align::Left, Align::Right], &rows),
            "Name    Time\né        1.5\nlonger\n"
        );
    }
}
