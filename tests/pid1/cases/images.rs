//! Images.

use crate::host::Host;

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
