//! `docker commit`.

use crate::host::Host;

#[test]
fn a_containers_files_become_an_image() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run --name cc -e A=b -v /data2 busybox sh -c 'echo new >/data/made; rm /data/from-image; ln /data/made /data/link; chown 1100 /data/made; echo x >/data2/volume'
$ docker commit -a me -m message -c 'CMD ["cat", "/data/made"]' -c 'ENV C="d e"' cc app:v1
sha256:<id>
$ docker run --rm app:v1
new
$ docker run --rm app:v1 sh -c 'ls /data /data2; stat -c "%h %u" /data/link; echo $A $C'
/data:
link
made

/data2:
2 1100
b d e
$ docker inspect -f '{{.Author}} {{.Comment}} {{json .Config.Cmd}} {{len .RootFS.Layers}}' app:v1
me message ["cat","/data/made"] 2
$ docker history --format '{{.CreatedBy}}|{{.Comment}}' app:v1 | cut -c -20
sh -c echo new >/dat
ADD busybox|
$ docker save -o app.tar app:v1; docker rmi -f app:v1 >/dev/null; docker load -q -i app.tar; docker run --rm app:v1
Loaded image: app:v1
new
$ docker commit cc | cut -c -7; docker commit -c 'RUN x' cc; docker commit cc Upper; docker commit none
sha256:
Error response from daemon: RUN is not a valid change command
invalid reference format: repository name (library/Upper) must be lowercase
Error response from daemon: No such container: none
[1]
$ docker create --name plain busybox true; docker commit plain same:v1 | cut -c -7; docker history -q same:v1 | wc -l; docker inspect -f '{{len .RootFS.Layers}}' same:v1
<id>
sha256:
2
1
"#,
    );
}

#[test]
fn a_running_container_goes_on_after_a_commit() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run -d --name rr busybox sh -c 'echo kept >/kept; touch /ready; sleep 1000'; until docker exec rr test -e /ready; do :; done
<id>
$ docker commit rr run >/dev/null; docker inspect -f '{{.State.Status}}' rr; docker exec rr true; docker commit --pause=false rr run >/dev/null
running
$ docker run --rm run cat /kept
kept
$ docker events --since 2020-01-01T00:00:00Z --until "$(date -u +%Y-%m-%dT%H:%M:%S.999999999Z)" --filter event=commit --format '{{.Action}} {{.Actor.Attributes.imageRef}}'
commit run:latest
commit run:latest
$ docker rm -f rr
rr
"#,
    );
}
