//! `ros service ps` (E1-025).

use coracle_services::Row;

use super::{chosen, project};
use crate::Error;
use crate::context::{Context, block_on};
use crate::table::{Align, layout};

/// Characters of a command that are shown.
const COMMAND_WIDTH: usize = 40;

#[derive(Debug, clap::Args)]
pub(crate) struct Ps {
    /// Only print container ids
    #[arg(short)]
    quiet: bool,
    /// Services; all when none is named
    names: Vec<String>,
}

impl Ps {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let mut rows = block_on(async { Ok(coracle_services::ps(&context.engines).await?) })?;
        if !self.names.is_empty() {
            let project = project(context, &self.names)?;
            let wanted: Vec<&str> = chosen(&project, &self.names)
                .map(|s| s.name.as_str())
                .collect();
            rows.retain(|row| wanted.contains(&row.service.as_str()));
        }
        let text = match self.quiet {
            true => rows.iter().map(|row| format!("{}\n", row.id)).collect(),
            false => table(&rows),
        };
        Ok(context.out.write_all(text.as_bytes())?)
    }
}

fn table(rows: &[Row]) -> String {
    let head = ["Name", "Command", "State", "Ports"]
        .map(String::from)
        .to_vec();
    let rows = rows.iter().map(|row| {
        let command = shortened(&row.command);
        vec![
            row.name.clone(),
            command,
            row.state.clone(),
            row.ports.clone(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    layout(&[Align::Left; 4], &rows)
}

/// A command line on one line, and no longer than it takes to recognise it.
fn shortened(command: &str) -> String {
    let line = command.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(COMMAND_WIDTH) {
        None => line,
        Some(_) => line.chars().take(COMMAND_WIDTH - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_a_table() {
        let row = |name: &str, command: &str, state: &str, ports: &str| Row {
            id: String::new(),
            service: name.into(),
            name: name.into(),
            command: command.into(),
            state: state.into(),
            ports: ports.into(),
        };
        let rows = [
            row("console", "ros console-init", "Up 5 minutes", ""),
            row("web", "httpd", "Up 2 seconds", "0.0.0.0:80->80/tcp"),
            row(
                "job",
                "sh -c 'for i in 1 2 3 4; do\n  echo $i\ndone'",
                "Created",
                "",
            ),
        ];
        assert_eq!(
            table(&rows),
            "\
Name     Command                                   State         Ports
console  ros console-init                          Up 5 minutes
web      httpd                                     Up 2 seconds  0.0.0.0:80->80/tcp
job      sh -c 'for i in 1 2 3 4; do echo $i don…  Created
"
        );
    }
}
