//! Starting, stopping, killing, waiting, renaming, removing.

use crate::host::Host;

/// Ends with code 3 when it is told to stop.
const POLITE: &str =
    r#"sh -c 'trap "echo term; exit 3" TERM; echo started; while :; do sleep 0.1; done'"#;

#[test]
fn a_container_is_stopped_and_started_again() {
    let Some(host) = Host::start() else { return };
    host.session(
        &r#"
$ docker run -d --name web busybox POLITE
<id>
$ timeout 20 sh -c 'until docker logs web | grep -q started; do :; done'
$ docker ps --format '{{.Names}} {{.Image}} {{.Command}} {{.Status}}'
web busybox "sh -c 'trap \"echo t…" Up <ago>
$ docker start web
web
$ docker stop web
web
$ docker stop web
web
$ docker ps -a --format '{{.Names}} {{.Status}}'
web Exited (3) <ago> ago
$ docker start web
web
$ docker restart -t 5 web
web
$ docker inspect -f '{{.State.Status}} {{.State.Running}} {{.RestartCount}}' web
running true 0
$ docker rm web
Error response from daemon: cannot remove container "web": container is running: stop the container before removing or force remove
[1]
$ docker kill web
web
$ docker wait web
137
$ docker kill web
Error response from daemon: cannot kill container: web: container <id> is not running
[1]
$ docker rename web db
$ docker rename db db
Error response from daemon: Renaming a container with the same name as its current name
Error: failed to rename container named db
[1]
$ docker rm web
Error response from daemon: No such container: web
[1]
$ docker rm db
db
$ docker ps -aq
"#
        .replace("POLITE", POLITE),
    );
}

#[test]
fn wait_answers_for_each_condition() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker create --name cc busybox sh -c 'sleep 0.5; exit 5'
<id>
$ docker wait cc
0
$ docker start cc; docker wait cc
cc
5
$ docker wait cc nope
5
Error response from daemon: No such container: nope
[1]
$ docker rm cc
cc
$ docker run -d --rm --name auto busybox sleep 0.5; curl -s -X POST --unix-socket docker.sock 'http://d/containers/auto/wait?condition=removed'; docker ps -aq
<id>
{"StatusCode":0}
"#,
    );
}

#[test]
fn signals_reach_the_first_process() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run -d --name kk busybox sh -c 'trap "echo hup" HUP; echo ready; while :; do sleep 0.05; done'
<id>
$ timeout 20 sh -c 'until docker logs kk | grep -q ready; do :; done'
$ docker kill -s HUP kk
kk
$ timeout 20 sh -c 'until docker logs kk | grep -q hup; do :; done'; docker logs kk
ready
hup
$ docker kill -s NOPE kk
Error response from daemon: cannot kill container: kk: invalid signal: NOPE
[1]
$ docker rm -f kk
kk
$ docker run -d --rm --stop-timeout 1 --name deaf busybox sh -c 'trap "" TERM; while :; do sleep 0.1; done'
<id>
$ docker stop deaf
deaf
$ docker run -d --stop-signal USR1 --name usr busybox sh -c 'trap "exit 9" USR1; echo ready; while :; do sleep 0.05; done'
<id>
$ timeout 20 sh -c 'until docker logs usr | grep -q ready; do :; done'; docker stop usr; docker wait usr
usr
9
"#,
    );
}

#[test]
fn a_frozen_container_waits_and_can_be_stopped() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run -d --name pp busybox sleep 100
<id>
$ docker pause pp
pp
$ docker ps --format '{{.Names}} {{.Status}}'
pp Up <ago> (Paused)
$ docker exec pp true
Error response from daemon: Container pp is paused, unpause the container before exec
[1]
$ docker pause pp
Error response from daemon: Container <id> is already paused
[1]
$ docker unpause pp
pp
$ docker unpause pp
Error response from daemon: Container <id> is not paused
[1]
$ docker pause pp
pp
$ docker stop -t 1 pp
pp
$ docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' pp
exited 137
"#,
    );
}

#[test]
fn what_a_container_leaves_behind_ends_with_it() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run --rm --pid host busybox sh -c 'sleep 54321 & exit 0'
$ ps -A -o args | grep -c '^sleep 54321$'
0
[1]
$ docker run --rm --name daemon busybox sh -c '(sleep 1000 &) ; echo done'
done
"#,
    );
}
