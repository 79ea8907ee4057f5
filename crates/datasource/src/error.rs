//! Why a datasource could not be used.

use std::io;
use std::path::PathBuf;

use coracle_config::Problem;

/// What is wrong with a volume or its files. The boot goes on; the text is shown on the consoles.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Metadata that is not JSON or YAML, or not of the documented form.
    #[error("{0}")]
    Metadata(Problem),
    /// A cloud-config that is not YAML.
    #[error("{0}; nothing of it is used")]
    CloudConfig(Problem),
    /// User data that is neither of the kinds that are known.
    #[error(
        "user data of an unknown kind: it begins with {start:?}; the first line must be #cloud-config, #compose or #!/path/of/interpreter"
    )]
    UnknownKind {
        /// Its first line, shortened.
        start: String,
    },
    /// A kind that cloud-init has and Coracle has not.
    #[error("user data of kind {kind} is not supported; use #cloud-config or a #! script")]
    Unsupported {
        /// Its name.
        kind: &'static str,
    },
    /// Gzipped user data that does not unpack.
    #[error("user data is damaged gzip: {0}")]
    Gzip(io::Error),
    /// More than anybody writes by hand.
    #[error("user data is larger than {} MiB", crate::user_data::LIMIT >> 20)]
    TooLarge,
}
