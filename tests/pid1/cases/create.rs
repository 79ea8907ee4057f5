//! What is refused or discarded when a container is created, and what reaches its process. Limits need the controllers of
//! cgroup v2, which the machine of these tests may not have: they are checked in `tests/vm`.

use crate::host::Host;

#[test]
fn what_cannot_be_done_is_refused_or_discarded_in_dockers_words() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker create --gpus all busybox true
Error response from daemon: could not select device driver "" with capabilities: [[gpu]]
[1]
$ docker create --storage-opt size=1G busybox true
Error response from daemon: --storage-opt is supported only for overlay over xfs with 'pquota' mount option
[1]
$ docker create --isolation hyperv busybox true
Error response from daemon: invalid isolation (hyperv): linux only supports 'default'
[1]
$ docker create --runtime kata busybox true
Error response from daemon: unknown or invalid runtime name: kata
[1]
$ docker create --network host --sysctl net.core.somaxconn=77 busybox true
Error response from daemon: sysctl "net.core.somaxconn" not allowed in host network namespace
[1]
$ docker create --blkio-weight 5 busybox true
Error response from daemon: Range of blkio weight is from 10 to 1000
[1]
$ docker run --rm --memory-swappiness 50 --oom-kill-disable busybox echo runs
WARNING: Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.
WARNING: Your kernel does not support OomKillDisable. OomKillDisable discarded.
runs
$ curl -s --unix-socket docker.sock -H 'Content-Type: application/json' -d '{"Image":"busybox","HostConfig":{"Sysctls":{"kernel.core_pattern":"x"}}}' http://d/containers/create
{"message":"sysctl \"kernel.core_pattern\" is not in a separate kernel namespace"}
$ docker ps -aq
"#,
    );
}

#[test]
fn options_reach_the_process() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run --rm --sysctl net.core.somaxconn=77 --domainname example.org busybox sh -c 'cat /proc/sys/net/core/somaxconn /proc/sys/kernel/domainname'
77
example.org
$ docker run --rm -u rancher:docker --group-add 42 busybox id
uid=1100(rancher) gid=1101(docker) groups=42,1101(docker)
$ docker run --rm --security-opt systempaths=unconfined busybox sh -c 'grep -c "/proc/kcore\|/proc/sys " /proc/self/mountinfo'
0
[1]
$ curl -s --unix-socket docker.sock -H 'Content-Type: application/json' -d '{"Image":"busybox","Cmd":["true"],"NetworkDisabled":true}' 'http://d/containers/create?name=off' >/dev/null; docker inspect -f '{{.HostConfig.NetworkMode}}' off; docker rm off
none
off
"#,
    );
}
