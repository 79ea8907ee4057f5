//! Restart policies.

use crate::host::Host;

#[test]
fn policies_start_a_container_again() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run -d --restart on-failure:2 --name rr busybox sh -c 'echo run; exit 4'; until [ "$(docker inspect -f '{{.State.Status}}' rr)" = exited ]; do :; done; docker logs rr; docker inspect -f '{{.RestartCount}} {{.State.Status}}' rr
<id>
run
run
run
2 exited
$ docker run -d --restart always --name ww busybox sh -c 'sleep 0.5; exit 3'; docker wait ww; docker rm -f ww
<id>
3
ww
$ docker run -d --restart always --name aa busybox sh -c 'echo run; sleep 0.2'; until [ "$(docker inspect -f '{{.RestartCount}}' aa)" -ge 2 ]; do :; done; docker stop aa; docker inspect -f '{{.State.Status}} {{.State.Restarting}}' aa
<id>
aa
exited false
$ docker run -d --restart unless-stopped --name kk busybox sleep 1000; kill -9 $(docker inspect -f '{{.State.Pid}}' kk) 2>/dev/null; true
<id>
$ docker update --restart no kk; docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' kk
kk
no
$ docker rm -f kk aa rr
kk
aa
rr
"#,
    );
}

#[test]
fn a_killed_main_process_comes_back() {
    let Some(host) = Host::start() else { return };
    host.session("$ docker run -d --restart always --name kk busybox sleep 1000\n<id>\n");
    let engine = host.pid().as_raw_nonzero();
    for _ in 0..3 {
        let (pid, _) = host.shell("docker inspect -f '{{.State.Pid}}' kk");
        // The engine is process 1 of its namespace: its number of the process is not ours.
        let (_, code) = host.shell(&format!("nsenter -t {engine} -p -m kill -9 {}", pid.trim()));
        assert_eq!(code, 0);
        let (_, code) = host.shell(&format!(
            "until [ \"$(docker inspect -f '{{{{.State.Pid}}}} {{{{.State.Status}}}}' kk)\" != '{0} running' ] && \
             docker inspect -f '{{{{.State.Status}}}}' kk | grep -q running; do :; done",
            pid.trim()
        ));
        assert_eq!(code, 0);
    }
}
