//! Volumes, binds, tmpfs.

use crate::host::Host;

#[test]
fn volumes_keep_files_and_begin_with_the_images() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run --rm -v data:/data busybox sh -c 'cat /data/from-image; stat -c "%a %u" /data/from-image; echo mine >/data/mine'
image
640 0
$ docker run --rm -v data:/elsewhere:ro busybox sh -c 'cat /elsewhere/mine; touch /elsewhere/x 2>&1'
mine
touch: /elsewhere/x: Read-only file system
[1]
$ docker volume ls --format '{{.Name}} {{.Driver}}'
data local
$ docker create --name user -v data:/d busybox true; docker volume rm data
<id>
Error response from daemon: remove data: volume is in use - [<id>]
[1]
$ docker rm user; docker volume rm data; docker volume rm data
user
data
Error response from daemon: get data: no such volume
[1]
$ docker run --rm -v /anonymous busybox true; docker volume ls -q
$ docker create --name keep -v /anonymous busybox true; docker rm keep; docker volume ls -q; docker volume prune -f | head -n 1
<id>
keep
<id>
Deleted Volumes:
$ docker volume create a/b
Error response from daemon: create a/b: "a/b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path
[1]
"#,
    );
}

#[test]
fn volumes_come_from_containers_that_never_ran() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker create --name base -v /shared -v $PWD/bound:/bound busybox true
<id>
$ docker run --rm --volumes-from base busybox sh -c 'echo one >/shared/file; echo two >/bound/file'
$ docker run --rm --volumes-from base:ro busybox sh -c 'cat /shared/file /bound/file; touch /bound/x 2>&1'
one
two
touch: /bound/x: Read-only file system
[1]
$ cat bound/file
two
$ docker rm -v base; docker volume ls -q
base
"#,
    );
}

#[test]
fn mounts_made_below_a_shared_bind_are_seen_outside() {
    let Some(host) = Host::start() else { return };
    let engine = host.pid().as_raw_nonzero();
    let (output, code) = host.shell(&format!(
        "mkdir shared; nsenter -t {engine} -m mount -t tmpfs none $PWD/shared; nsenter -t {engine} -m mount --make-rshared $PWD/shared"
    ));
    assert_eq!((output.as_str(), code), ("", 0));
    host.session(
        &r#"
$ docker run --rm -v $PWD:/x:shared busybox true 2>&1 | grep -c 'but it is not a shared mount'
1
$ docker run -d --name maker --privileged -v $PWD/shared:/s:shared busybox sh -c 'mkdir /s/m; mount -t tmpfs inner /s/m; touch /s/m/file /s/ready; sleep 1000'
<id>
$ timeout 20 nsenter -t ENGINE -m sh -c 'until test -e DIR/shared/ready; do :; done; ls DIR/shared/m'
file
$ docker run --rm -v $PWD/shared:/s:rslave busybox ls /s/m
file
"#
        .replace("ENGINE", &engine.to_string())
        .replace("DIR", &host.path("").display().to_string()),
    );
}

#[test]
fn the_root_may_be_read_only_beside_tmpfs() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run --rm --read-only --tmpfs /t:size=1m busybox sh -c 'touch /t/x; df -k /t | tail -n 1 | tr -s " " | cut -d" " -f2; touch /x 2>&1'
1024
touch: /x: Read-only file system
[1]
$ docker run --rm --mount type=tmpfs,dst=/t,tmpfs-mode=700 busybox stat -c %a /t
700
$ docker run --rm --shm-size 1m busybox sh -c 'df -k /dev/shm | tail -n 1 | tr -s " " | cut -d" " -f2'
1024
"#,
    );
}
