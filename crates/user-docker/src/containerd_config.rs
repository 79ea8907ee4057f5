//! containerd's configuration: only what Docker uses (research: with the Kubernetes part it starts much later).

use std::path::Path;

use crate::paths::{CONTAINERD_SOCKET, CONTAINERD_STATE};

/// Plugins that dockerd never calls: Kubernetes (CRI, NRI, sandboxes), image transfer and verification, tracing, restarts by
/// containerd, and snapshotters besides overlayfs. A name that containerd does not know is not an error.
const DISABLED: &[&str] = &[
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.differ.v1.erofs",
    "io.containerd.grpc.v1.cri",
    "io.containerd.grpc.v1.sandbox-controllers",
    "io.containerd.grpc.v1.transfer",
    "io.containerd.image-verifier.v1.bindir",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.tracing",
    "io.containerd.monitor.container.v1.restart",
    "io.containerd.nri.v1.nri",
    "io.containerd.podsandbox.controller.v1.podsandbox",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.native",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.transfer.v1.local",
    "io.containerd.ttrpc.v1.otelttrpc",
];

/// The file's text. `data_root` is dockerd's: containerd's own data goes below it, as when dockerd starts containerd.
pub fn render(data_root: &Path, debug: bool) -> String {
    let disabled: Vec<String> = DISABLED.iter().map(|id| format!("  {id:?},\n")).collect();
    let level = if debug { "debug" } else { "warn" };
    format!(
        "version = 3\n\
         root = {:?}\n\
         state = {CONTAINERD_STATE:?}\n\
         oom_score = -999\n\
         disabled_plugins = [\n{}]\n\n\
         [grpc]\n\
         address = {CONTAINERD_SOCKET:?}\n\n\
         [debug]\n\
         level = {level:?}\n",
        data_root.join("containerd/daemon"),
        disabled.concat(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_lies_below_dockers_and_kubernetes_is_off() {
        let text = render(Path::new("/var/lib/docker"), false);
        let (head, rest) = text.split_once("disabled_plugins").unwrap();
        assert_eq!(
            head,
            "version = 3\nroot = \"/var/lib/docker/containerd/daemon\"\nstate = \"/run/containerd\"\noom_score = -999\n"
        );
        assert!(rest.contains("  \"io.containerd.grpc.v1.cri\",\n"));
        assert!(rest.ends_with(
            "]\n\n[grpc]\naddress = \"/run/containerd/containerd.sock\"\n\n[debug]\nlevel = \"warn\"\n"
        ));
    }
}
