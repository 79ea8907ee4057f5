//! Showing what there is: ps, inspect, top, stats, info, version.

use crate::host::Host;

#[test]
fn containers_are_listed_and_described() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run -d --name web --label a=b --label c=d busybox sleep 1000
<id>
$ docker create --name idle busybox true
<id>
$ docker ps
CONTAINER ID  IMAGE  COMMAND  CREATED  STATUS  PORTS  NAMES
<id>  busybox  "sleep 1000"  <ago> ago  Up <ago>  web
$ docker ps -a --filter status=created --format '{{.Names}}'
idle
$ docker ps --filter label=a=b --filter name=we --filter ancestor=busybox --format '{{.Names}}'
web
$ docker ps --filter label=a=x -q
$ docker ps --filter nope=x
Error response from daemon: invalid filter 'nope'
[1]
$ docker inspect -f '{{.Name}} {{.Path}} {{.Args}} {{.HostConfig.NetworkMode}} {{.HostConfig.LogConfig.Type}} {{.Config.Labels.a}} {{len .Mounts}}' web
/web sleep [1000] none json-file b 0
$ docker top web -o pid,comm | tail -n 1 | tr -s ' ' | cut -d' ' -f2
sleep
$ docker stats --no-stream --format '{{.Name}} {{.PIDs}}' web
web 1
$ docker info -f '{{.Driver}} {{.OSType}} {{.CgroupVersion}} {{.Containers}} {{.ContainersRunning}}'
overlay2 linux 2 2 1
$ docker version -f '{{.Server.Os}} {{.Server.APIVersion}} {{.Server.MinAPIVersion}}'
linux 1.53 1.24
$ docker network ls --format '{{.Name}} {{.Driver}}' | sort
host host
none null
$ docker inspect nosuch
[]
Error: No such object: nosuch
[1]
$ docker pause idle
Error response from daemon: container <id> is not running
[1]
$ docker kill -s NOSUCH web
Error response from daemon: cannot kill container: web: invalid signal: NOSUCH
[1]
$ docker run --rm --volumes-from nosuch busybox true
docker: Error response from daemon: No such container: nosuch

Run 'docker run --help' for more information
[125]
$ docker container prune -f | head -n 1
Deleted Containers:
$ docker ps -a --format '{{.Names}}'
web
"#,
    );
}
