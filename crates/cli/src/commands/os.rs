//! `ros os`, and the version that `ros -v` prints (E1-001, E1-030).

use crate::Error;
use crate::context::Context;

/// Where the running system says what it is.
const OS_RELEASE: &str = "/usr/share/ros/os-release";

/// The image that upgrades come from, unless `rancher.upgrade.image` says otherwise.
const IMAGE: &str = "coracle/os";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Os {
    /// Print the version of the running system
    Version,
}

impl Os {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), Error> {
        let Self::Version = self;
        let version = running(context);
        Ok(writeln!(context.out, "{version}")?)
    }
}

/// `version V from os image I:V`.
pub(crate) fn long_version(context: &mut Context<'_>) -> Result<(), Error> {
    let version = running(context);
    let config = coracle_config::load(&context.root).config;
    let image = config.rancher.upgrade.image.unwrap_or_else(|| IMAGE.into());
    Ok(writeln!(
        context.out,
        "version {version} from os image {image}:{version}"
    )?)
}

/// The system's version; that of this program when the system does not say.
fn running(context: &Context<'_>) -> String {
    let file = std::fs::read_to_string(context.path(OS_RELEASE)).unwrap_or_default();
    version_of(&file).unwrap_or_else(|| concat!("v", env!("CARGO_PKG_VERSION")).into())
}

/// `VERSION` of an os-release(5) file.
fn version_of(os_release: &str) -> Option<String> {
    let value = os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION="))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.into())
}
