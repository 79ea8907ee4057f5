//! Another client: docker-py (package python3-docker).

use crate::host::Host;

#[test]
fn docker_py_finds_what_it_knows() {
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    if host.shell("python3 -c 'import docker'").1 != 0 {
        eprintln!("SKIPPED: needs docker-py (package python3-docker)");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/pid1/docker_py.py");
    std::fs::copy(script, host.path("docker_py.py")).unwrap();
    host.session(
        r#"
$ python3 docker_py.py
versions
run
lifecycle
streams
terminals
files
events
images
volumes
networks
usage
"#,
    );
}
