//! `docker exec`.

use crate::host::Host;

#[test]
fn processes_are_added_to_a_running_container() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker exec none true
Error response from daemon: No such container: none
[1]
$ docker run -d --name ee busybox sleep 1000
<id>
$ docker exec ee sh -c 'echo out; sleep 0.1; echo err >&2; exit 9'
out
err
[9]
$ echo data | docker exec -i ee cat
data
$ docker exec -u rancher -w /tmp -e A=b ee sh -c 'pwd; id; echo $A $HOME'
/tmp
uid=1100(rancher) gid=1100(rancher) groups=1100(rancher),1101(docker)
b /home/rancher
$ docker exec ee nosuch
OCI runtime exec failed: exec failed: unable to start container process: exec: "nosuch": executable file not found in $PATH
[127]
$ docker exec ee /bin/not-executable
OCI runtime exec failed: exec failed: unable to start container process: exec: "/bin/not-executable": permission denied
[126]
$ docker exec -u nobody ee true
Error response from daemon: unable to find user nobody: no matching entries in passwd file
[1]
$ docker exec -d ee touch /tmp/made
$ docker exec ee sh -c 'until test -e /tmp/made; do :; done; ls /tmp'
made
$ docker exec ee sh -c 'kill -9 $$'
[137]
$ docker exec ee ps -o comm | grep -c sleep
1
$ docker inspect -f '{{.ExecIDs}}' ee
[]
$ docker exec ee sh -c 'dd if=/dev/zero bs=1M count=20 2>/dev/null' | wc -c
20971520
$ docker kill ee
ee
$ docker exec ee true
Error response from daemon: container <id> is not running
[1]
"#,
    );
}

#[test]
fn a_started_exec_ends_with_its_container() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run -d --name ee busybox sleep 1000
<id>
$ (until docker exec ee test -e /tmp/up 2>/dev/null; do :; done; docker rm -f ee >/dev/null) & docker exec ee sh -c 'touch /tmp/up; sleep 1000'; echo $?; wait
137
"#,
    );
}
