//! What a container may see and do.

use crate::host::Host;

#[test]
fn a_container_has_dockers_default_rights() {
    let Some(host) = Host::start() else { return };
    let script = r#"
$ docker run --rm busybox sh -c 'grep -E "Cap|NoNewPrivs|Seccomp:" /proc/self/status | tr "\t" " "'
CapInh: 0000000000000000
CapPrm: 00000000a80425fb
CapEff: 00000000a80425fb
CapBnd: 00000000a80425fb
CapAmb: 0000000000000000
NoNewPrivs: 0
Seccomp: 2
$ docker run --rm -u 5 --security-opt no-new-privileges --security-opt seccomp=unconfined busybox sh -c 'grep -E "CapEff|CapBnd|NoNewPrivs|Seccomp:" /proc/self/status | tr "\t" " "'
CapEff: 0000000000000000
CapBnd: 00000000a80425fb
NoNewPrivs: 1
Seccomp: 0
$ docker run --rm --cap-drop ALL --cap-add NET_ADMIN busybox sh -c 'grep CapEff /proc/self/status | tr "\t" " "'
CapEff: 0000000000001000
$ docker run --rm --privileged busybox sh -c 'grep Seccomp: /proc/self/status | tr "\t" " "; touch /sys/kernel/x 2>&1 | grep -c Read-only'
Seccomp: 0
0
[1]
$ docker run --rm busybox sh -c 'cat /proc/kcore /proc/keys 2>/dev/null | wc -c; touch /proc/sys/kernel/hostname 2>&1 | grep -c Read-only; mount -t tmpfs x /tmp 2>&1 | grep -ci "denied\|permitted"'
0
1
1
$ docker run --rm busybox sh -c 'ls /dev'
fd
full
mqueue
null
ptmx
pts
random
shm
stderr
stdin
stdout
tty
urandom
zero
$ docker run --rm --device /dev/full:/dev/brimming busybox ls /dev/brimming
/dev/brimming
$ docker run --rm --privileged --device /dev/full:/dev/brimming busybox ls /dev/brimming
/dev/brimming
$ docker run --rm busybox sh -c 'mknod /tmp/mem c 1 1; cat /tmp/mem 2>&1 | head -c 100'
cat: can't open '/tmp/mem': Operation not permitted
$ docker run --rm --ulimit nofile=100:200 --oom-score-adj 500 busybox sh -c 'ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj'
100
200
500
"#;
    host.session(script);
}

#[test]
fn namespaces_are_private_shared_or_joined() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run -d --name aa -h alpha --ipc shareable busybox sh -c 'echo x >/dev/shm/file; touch /tmp/ready; sleep 1000'
<id>
$ timeout 20 sh -c 'until docker exec aa test -e /tmp/ready; do :; done'
$ docker run --rm busybox sh -c 'ls /dev/shm | wc -l; ip -o link | wc -l; cat /sys/class/net/lo/operstate; ping -c 1 -q 127.0.0.1 >/dev/null; echo $?'
0
1
unknown
0
$ docker run --rm --network container:aa busybox hostname
alpha
$ docker run --rm --ipc container:aa busybox cat /dev/shm/file
x
$ docker run --rm --pid container:aa busybox sh -c 'ps -o args | grep -c "^sleep 1000"'
1
$ docker run --rm --network host busybox sh -c '[ "$(readlink /proc/self/ns/net)" = "$(readlink /proc/1/ns/net)" ]; cat /proc/net/dev | wc -l' | grep -c .
1
$ docker run --rm --uts host busybox hostname | grep -c "^$(hostname)$"
1
$ docker run --rm --pid host busybox sh -c 'cat /proc/1/comm'
coracle
$ docker run --rm busybox grep ^0:: /proc/self/cgroup
0::/
$ docker run --rm --add-host db:10.0.0.1 busybox sh -c 'grep db /etc/hosts'
10.0.0.1	db
$ docker run --rm -h me --dns 192.0.2.1 busybox sh -c 'cat /etc/hostname /etc/resolv.conf | grep -v "^#"'
me
nameserver 192.0.2.1
"#,
    );
}
