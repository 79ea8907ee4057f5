//! What a client is told while an image travels.

use coracle_image::Digest;
use tokio::sync::mpsc;

/// Where progress goes.
#[derive(Clone, Debug)]
pub struct Report(mpsc::UnboundedSender<Progress>);

impl Report {
    /// Progress, and where it arrives.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Progress>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Returns when nobody listens any more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }

    /// Nobody listening is no error.
    pub(super) fn tell(&self, progress: Progress) {
        let _ = self.0.send(progress);
    }
}

/// One line of the answer to a pull or push.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Progress {
    /// About the whole; `id` may be empty.
    Message {
        /// What it is about.
        id: String,
        /// The text.
        text: String,
    },
    /// About a layer.
    Layer {
        /// Twelve digits of its digest.
        id: String,
        /// What happens with it, in Docker's words.
        action: String,
        /// Bytes done, and all of them.
        done: Option<(u64, u64)>,
    },
    /// A tag was pushed.
    Pushed {
        /// The tag.
        tag: String,
        /// Of the manifest.
        digest: Digest,
        /// Of the manifest, in bytes.
        size: u64,
    },
}

impl Progress {
    /// About the whole.
    pub fn message(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Message {
            id: id.into(),
            text: text.into(),
        }
    }

    /// About a layer, without numbers.
    pub fn layer(digest: &Digest, action: impl Into<String>) -> Self {
        Self::Layer {
            id: digest.short().to_owned(),
            action: action.into(),
            done: None,
        }
    }

    /// About a layer, with bytes.
    pub fn part(digest: &Digest, action: &str, done: u64, all: u64) -> Self {
        Self::Layer {
            id: digest.short().to_owned(),
            action: action.to_owned(),
            done: Some((done, all)),
        }
    }
}
