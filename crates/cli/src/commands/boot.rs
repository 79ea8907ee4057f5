//! `ros boot`: the boot log as a table or a picture.

use std::path::PathBuf;

use coracle_boot_log::{Entry, Kind};

use crate::Error;
use crate::boot_chart;
use crate::context::Context;
use crate::table::{Align, layout};

#[derive(Debug, clap::Args)]
pub(crate) struct Boot {
    /// Draw it as a picture into FILE ("-" for standard output)
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Boot {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let log = context.path(coracle_boot_log::DEFAULT_PATH);
        let mut entries = coracle_boot_log::read(&log)?;
        if entries.is_empty() {
            let text = format!("no boot was recorded in {}", log.display());
            return Err(Error::Refused(text));
        }
        entries.sort_by_key(|entry| (entry.start_us, entry.end_us));
        let Some(file) = self.svg else {
            return Ok(context.out.write_all(table(&entries).as_bytes())?);
        };
        let picture = boot_chart::svg(&format!("Boot of Coracle, {}", total(&entries)), &entries);
        if file.as_os_str() == "-" {
            return Ok(context.out.write_all(picture.as_bytes())?);
        }
        std::fs::write(&file, picture).map_err(Error::file("write", &file))?;
        Ok(writeln!(context.out, "wrote {}", file.display())?)
    }
}

fn table(entries: &[Entry]) -> String {
    let mut rows = vec![
        ["KIND", "NAME", "START", "TIME", ""]
            .map(String::from)
            .to_vec(),
    ];
    for entry in entries {
        let kind = match entry.kind {
            Kind::Phase => "phase",
            Kind::Service => "service",
        };
        rows.push(vec![
            kind.into(),
            entry.name.clone(),
            seconds(entry.start_us),
            seconds(entry.duration_us()),
            entry
                .error
                .as_ref()
                .map_or(String::new(), |why| format!("failed: {why}")),
        ]);
    }
    let align = [
        Align::Left,
        Align::Left,
        Align::Right,
        Align::Right,
        Align::Left,
    ];
    format!("{}total {}\n", layout(&align, &rows), total(entries))
}

/// `4.200 s since the kernel started, 0.400 s of it before PID 1`.
fn total(entries: &[Entry]) -> String {
    let start = entries.iter().map(|e| e.start_us).min().unwrap_or(0);
    let end = entries.iter().map(|e| e.end_us).max().unwrap_or(0);
    format!(
        "{} s since the kernel started, {} s of it before PID 1's first phase",
        seconds(end),
        seconds(start)
    )
}

fn seconds(us: u64) -> String {
    format!("{:.3}", us as f64 / 1e6)
}
