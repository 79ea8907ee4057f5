//! The one shipped binary: it picks its role by the name it is called with.

fn main() -> anyhow::Result<()> {
    Ok(())
}
