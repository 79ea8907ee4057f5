//! Developer commands: `cargo xtask image`, `cargo xtask vm`, …

fn main() -> anyhow::Result<()> {
    Ok(())
}
