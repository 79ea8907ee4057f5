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
fn volumes_are_what_their_options_mount() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,uid=1100 ram; docker volume inspect -f '{{.Options}}' ram
ram
map[device:tmpfs o:size=1m,uid=1100 type:tmpfs]
$ docker run -d --name one -v ram:/ram busybox sh -c 'stat -f -c %T /ram; df -k /ram | tail -n 1 | tr -s " " | cut -d " " -f 2; echo kept >/ram/file; sleep 1000'; until docker exec one test -e /ram/file; do :; done; docker logs one
<id>
tmpfs
1024
$ docker run --rm -v ram:/ram busybox cat /ram/file; docker rm -f one; docker run --rm -v ram:/ram busybox ls /ram
kept
one
$ mkdir source; echo text >source/file; docker volume create -o type=none -o device=$PWD/source -o o=bind,ro bound; docker run --rm -v bound:/b busybox sh -c 'cat /b/file; touch /b/x 2>&1'
bound
text
touch: /b/x: Read-only file system
[1]
$ docker volume rm bound ram; cat source/file
bound
ram
text
$ docker volume create -o color=red x; docker volume create -o type=tmpfs x
Error response from daemon: create x: invalid option: "color"
Error response from daemon: create x: missing required option: "device"
[1]
$ docker volume create -o type=none -o device=/none/such -o o=bind gone >/dev/null; docker run --rm -v gone:/g busybox true 2>&1 | head -n 1 | grep -o 'error while mounting volume\|No such file or directory'
error while mounting volume
No such file or directory
$ docker run --rm --mount 'type=volume,source=driven,target=/d,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-label=a=b' busybox stat -f -c %T /d; docker volume inspect -f '{{.Labels}} {{.Options.type}}' driven
tmpfs
map[a:b] tmpfs
$ docker run --rm -v other:/x --volume-driver nfs busybox true 2>&1 | head -n 1
docker: Error response from daemon: create other: error looking up volume plugin nfs: plugin "nfs" not found
"#,
    );
}

#[test]
fn images_and_parts_of_volumes_are_mounted() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run --rm --mount type=image,source=busybox,target=/image busybox sh -c 'cat /image/data/from-image; touch /image/x 2>&1'
image
touch: /image/x: Read-only file system
[1]
$ docker run --name ii --mount type=image,source=busybox,target=/data2,image-subpath=data busybox ls /data2; docker inspect -f '{{range .Mounts}}{{.Type}} {{.Source}} {{.RW}}{{end}}' ii
from-image
image busybox false
$ docker run --rm --mount type=image,source=none,target=/x busybox true 2>&1 | head -n 1
docker: Error response from daemon: invalid mount config for type "image": No such image: none:latest
$ docker run --rm -v vv:/v busybox sh -c 'mkdir -p /v/a/b; echo deep >/v/a/b/file; ln -s /etc /v/out; ln -s a/b /v/in'
$ docker run --rm --mount type=volume,source=vv,target=/x,volume-subpath=a/b busybox cat /x/file
deep
$ docker run --rm --mount type=volume,source=vv,target=/x/file,volume-subpath=a/b/file,readonly busybox sh -c 'cat /x/file; echo more 2>&1 >>/x/file'
deep
sh: can't create /x/file: Read-only file system
[1]
$ docker run --rm --mount type=volume,source=vv,target=/x,volume-subpath=in busybox ls /x
file
$ docker run --rm --mount type=volume,source=vv,target=/x,volume-subpath=out busybox true 2>&1 | grep -c 'subpath "out"'
1
$ docker volume rm -f vv; ls run/mounts | wc -l
vv
0
"#,
    );
}

#[test]
fn binds_take_what_is_mounted_below_as_asked() {
    let Some(host) = Host::start() else { return };
    let engine = host.pid().as_raw_nonzero();
    // The mount is made where the engine is: in its mount namespace.
    let (output, code) = host.shell(&format!(
        "mkdir -p top/sub && nsenter -t {engine} -m sh -c \"mount -t tmpfs sub $PWD/top/sub && touch $PWD/top/sub/below\""
    ));
    assert_eq!((output.as_str(), code), ("", 0));
    host.session(
        r#"
$ docker run --rm --mount type=bind,source=$PWD/top,target=/t busybox ls /t/sub
below
$ docker run --rm --mount type=bind,source=$PWD/top,target=/t,bind-recursive=disabled busybox ls /t/sub
$ docker run --rm --mount type=bind,source=$PWD/top,target=/t,readonly busybox touch /t/sub/x
touch: /t/sub/x: Read-only file system
[1]
$ docker run --rm --mount type=bind,source=$PWD/top,target=/t,readonly,bind-recursive=writable busybox sh -c 'touch /t/sub/x; touch /t/x'
touch: /t/x: Read-only file system
[1]
$ docker run --rm --mount type=bind,source=$PWD/top,target=/t,readonly,bind-propagation=rprivate,bind-recursive=readonly busybox touch /t/sub/y
touch: /t/sub/y: Read-only file system
[1]
$ docker run --rm --mount type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700 busybox sh -c 'stat -c %a /t; df -k /t | tail -n 1 | tr -s " " | cut -d " " -f 2'
700
1024
$ docker run --rm --mount type=volume,source=vv,target=/data,volume-nocopy busybox ls /data
$ docker run --rm --mount type=bind,source=$PWD/none,target=/t busybox true 2>&1 | head -n 1 | grep -o 'bind source path does not exist'
bind source path does not exist
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
