use std::path::PathBuf;

use clap::Args;

use super::Name;

/// Options of `cargo xtask vm screenshot`.
#[derive(Debug, Args)]
pub struct Screenshot {
    #[command(flatten)]
    name: Name,
    /// The PNG file to write; `screen.png` in the machine's directory unless given.
    file: Option<PathBuf>,
}

impl Screenshot {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let dir = self.name.dir()?;
        let path = self.file.unwrap_or_else(|| dir.file("screen.png"));
        dir.screenshot(&path)?;
        super::tell(path.display());
        Ok(())
    }
}
