use indicatif::{ProgressBar, ProgressStyle};

/// A bar from 0 to 100 percent with a text before it; draws nothing when standard error is not a terminal.
pub(crate) fn percent(what: &str) -> ProgressBar {
    let bar = ProgressBar::new(100);
    bar.set_style(style("{prefix} [{bar:30}] {percent}% {msg}"));
    bar.set_prefix(what.to_owned());
    bar
}

/// A bar that counts things.
pub(crate) fn count(what: &str, total: usize) -> ProgressBar {
    let bar = ProgressBar::new(total as u64);
    bar.set_style(style("{prefix} [{bar:30}] {pos}/{len} {msg}"));
    bar.set_prefix(what.to_owned());
    bar
}

fn style(template: &str) -> ProgressStyle {
    // A wrong template would only cost the looks.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
