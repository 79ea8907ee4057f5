//! Terminals. `script` (package bsdutils) gives the client one.

use crate::host::Host;

#[test]
fn a_container_has_a_terminal_of_the_clients_size() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ script -qefc "stty rows 33 cols 77; docker run -it --rm busybox sh -c 'tty; stty size; exit 5'" /dev/null </dev/null
/dev/pts/0
33 77
[5]
$ docker run -d -t --name tt busybox sh -c 'stty size; while :; do sleep 0.1; done' >/dev/null; script -qefc "stty rows 20 cols 50; docker exec -it tt sh -c 'tty; stty size'" /dev/null </dev/null
/dev/pts/1
20 50
$ docker run -t --rm busybox sh -c 'echo to-stdout; echo to-stderr >&2' 2>/dev/null
to-stdout
to-stderr
$ docker rm -f tt
tt
"#,
    );
}

#[test]
fn detach_keys_leave_the_container_running() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ (until docker ps -q | grep -q .; do :; done; sleep 0.5; printf '\020\021'; sleep 1) | script -qefc "docker run -it --name dd busybox sh -c 'while :; do sleep 0.1; done'" /dev/null >/dev/null
$ docker inspect -f '{{.State.Running}}' dd
true
"#,
    );
}
