//! What System Docker has and Docker does not (ARCHITECTURE.md, labels).

use crate::host::Host;

#[test]
fn a_container_may_run_on_another_ones_root() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run -d --name console busybox sh -c 'echo console >/made-by; touch /ready; sleep 1000'
<id>
$ timeout 20 sh -c 'until docker exec console test -e /ready; do :; done'
$ docker run -d --name docker --label io.rancher.os.root=container:console busybox sh -c 'cat /made-by; echo docker >/made-by; sleep 1000'
<id>
$ timeout 20 sh -c 'until docker logs docker | grep -q console; do :; done'; docker exec console cat /made-by
docker
$ docker rm -f console
Error response from daemon: cannot remove container "console": container docker runs on its root: stop that container first
[1]
$ docker stop -t 1 console; docker exec docker cat /made-by; docker start console
console
docker
console
$ docker rm -f docker; docker rm -f console
docker
console
$ docker run --rm --label io.rancher.os.root=console busybox true
docker: Error response from daemon: invalid label io.rancher.os.root: "console": expected container:NAME

Run 'docker run --help' for more information
[125]
"#,
    );
}

#[test]
fn sockets_are_opened_once_and_handed_over() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker create --name listener --label io.rancher.os.listen=$PWD/app.sock:0660:0:1101 busybox sh -c 'echo fds $LISTEN_FDS; readlink /proc/self/fd/3 | cut -d: -f1; sleep 1000'
<id>
$ stat -c '%F %a %g' app.sock
socket 660 1101
$ docker start listener; timeout 20 sh -c 'until docker logs listener | grep -q socket; do :; done'; docker logs listener
listener
fds 1
socket
$ docker create --label io.rancher.os.listen=relative busybox true
Error response from daemon: invalid label io.rancher.os.listen: "relative": the path must be absolute; expected PATH[:MODE[:UID[:GID]]]
[1]
"#,
    );
}
