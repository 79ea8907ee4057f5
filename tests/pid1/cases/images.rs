//! Images.

use std::fs;

use crate::host::{Host, Setup};
use crate::registry::Registry;

#[test]
fn images_are_loaded_named_and_removed() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker images --format '{{.Repository}} {{.Tag}}'
busybox latest
$ docker load -i busybox.tar
Loaded image: busybox:latest
$ docker tag busybox other/name:v1; docker images --format '{{.Repository}}:{{.Tag}}' | sort
busybox:latest
other/name:v1
$ docker tag busybox Upper
Error parsing reference: "Upper" is not a valid repository/tag: invalid reference format: repository name (library/Upper) must be lowercase
[1]
$ docker tag none x
Error response from daemon: No such image: none:latest
[1]
$ docker rmi other/name:v1
Untagged: other/name:v1
$ docker rmi none
Error response from daemon: No such image: none:latest
[1]
$ docker run --name user busybox true; docker rmi busybox
Error response from daemon: conflict: unable to remove repository reference "busybox:latest" (must force) - container <id> is using its referenced image <id>
[1]
$ docker image inspect -f '{{.RepoTags}} {{.Os}} {{.Config.Cmd}}' busybox
[busybox:latest] linux [sh]
$ docker history --format '{{.CreatedBy}}' busybox
ADD busybox
$ docker rmi -f busybox | head -n 1
Untagged: busybox:latest
$ docker start -a user; docker rm user
user
$ docker images -q
"#,
    );
}

#[test]
fn archives_are_imported() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker create --name box busybox > /dev/null; docker export box | gzip | docker import -m 'by hand' - imported:1
sha256:<id>
$ docker run --rm imported:1 cat /data/from-image
image
$ docker history --format '{{.Comment}}' imported:1; docker inspect -f '{{.Os}}/{{.Architecture}} {{.Config.Cmd}}' imported:1
by hand
linux/amd64 []
$ docker export box | docker import --platform linux/arm64 - > id; docker inspect -f '{{.Architecture}} {{.RepoTags}}' $(cat id)
arm64 []
$ docker export box | xz -1 | docker import -c 'CMD ["echo", "hi"]' -c 'ENV A=1 B=2' -c 'WORKDIR /data' - changed > /dev/null; docker run --rm changed
hi
$ docker run --rm changed sh -c 'echo $A $B $PWD'
1 2 /data
$ docker export box | docker import -c 'RUN true' - refused
Error response from daemon: RUN is not a valid change command
[1]
$ head -c 10000 /bin/busybox | docker import - bad:1 2>&1 | grep -c 'layer: numeric field was not a number'
1
$ docker export box | docker import - Bad
invalid reference format: repository name (library/Bad) must be lowercase
[1]
$ docker import http://127.0.0.1:1/x
Error response from daemon: System Docker does not fetch archives: curl -L http://127.0.0.1:1/x | system-docker import -
[1]
$ docker images --format '{{.Repository}}:{{.Tag}}' | sort
<none>:<none>
busybox:latest
changed:latest
imported:1
$ ls -A root/layers | wc -l
2
"#,
    );
}

#[test]
fn images_of_the_system_are_saved_and_pushed() {
    let Some(mut host) = Host::start_as(Setup {
        own_network: true,
        bundled: true,
        ..Setup::default()
    }) else {
        return;
    };
    host.session(
        r#"
$ docker run --name cc coracle/busybox:v1 sh -c 'echo new >/made; rm /data/from-image'; docker commit cc mine >/dev/null; docker rm cc
cc
$ docker images -q --no-trunc coracle/busybox | tee id | cut -c -7; docker images -q --no-trunc mine | tee mine | cut -c -7
sha256:
sha256:
$ docker save -o system.tar coracle/busybox:v1 mine; tar -xOf system.tar manifest.json | tr , '\n' | grep -c blobs/sha256/
5
"#,
    );
    let registry = Registry::start(&host, 5000, false);
    if registry.is_some() {
        host.session(
            r#"
$ docker tag coracle/busybox:v1 127.0.0.1:5000/c; docker tag mine 127.0.0.1:5000/mine; docker push 127.0.0.1:5000/c
Using default tag: latest
The push refers to repository [127.0.0.1:5000/c]
<id>: Preparing
<id>: Pushed
latest: digest: sha256:<id> size: 527
$ docker push 127.0.0.1:5000/c | tail -n 2
<id>: Layer already exists
latest: digest: sha256:<id> size: 527
$ docker push -q 127.0.0.1:5000/mine; docker rmi -f 127.0.0.1:5000/c 127.0.0.1:5000/mine mine >/dev/null
127.0.0.1:5000/mine:latest
"#,
        );
    }
    // Without them, as another machine.
    fs::rename(host.path("bundle"), host.path("other")).expect("move the system's images");
    host.restart(true);
    host.session(
        r#"
$ docker images --format '{{.Repository}}'; docker load -i system.tar | sort
Loaded image: coracle/busybox:v1
Loaded image: mine:latest
$ docker images -q --no-trunc coracle/busybox | cmp - id; docker images -q --no-trunc mine | cmp - mine; docker run --rm mine sh -c 'cat /made; ls /data'
new
$ docker save coracle/busybox:v1 mine | cmp - system.tar; docker rmi coracle/busybox:v1 mine >/dev/null; ls root/layers | wc -l
0
"#,
    );
    if registry.is_some() {
        host.session(
            r#"
$ docker pull -q 127.0.0.1:5000/c; docker pull -q 127.0.0.1:5000/mine; docker run --rm 127.0.0.1:5000/mine cat /made
127.0.0.1:5000/c:latest
127.0.0.1:5000/mine:latest
new
$ docker images -q --no-trunc 127.0.0.1:5000/c | cmp - id; docker images -q --no-trunc 127.0.0.1:5000/mine | cmp - mine; docker rmi 127.0.0.1:5000/c 127.0.0.1:5000/mine >/dev/null
"#,
        );
    }
    // What has changed is told, and not given out as the image.
    fs::rename(host.path("other"), host.path("bundle")).expect("move the system's images");
    host.restart(true);
    host.session(
        r#"
$ echo x >>bundle/layers/base/etc/group; docker save coracle/busybox:v1 2>&1 >/dev/null
unexpected EOF
[1]
"#,
    );
    assert!(host.log().contains("the layer has changed"));
}
