//! Pruning with filters, and updates.

use crate::host::Host;

#[test]
fn filters_choose_what_is_pruned() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run --name one -l keep=yes busybox true; docker run --name two -l keep=no busybox true; docker run --name three busybox true; docker run -d --name runs busybox sleep 1000
<id>
$ docker container prune -f --filter label=keep=no >/dev/null; docker ps -a --format '{{.Names}}' | sort
one
runs
three
$ docker container prune -f --filter until=2020-01-01T00:00:00 >/dev/null; docker ps -aq | wc -l
3
$ docker container prune -f --filter label!=keep >/dev/null; docker ps -a --format '{{.Names}}' | sort
one
runs
$ docker container prune -f --filter color=red
Error response from daemon: invalid filter 'color'
[1]
$ docker volume create --label a=b named >/dev/null; docker volume create other >/dev/null; docker create -v /x busybox true >/dev/null; docker container prune -f >/dev/null
$ docker volume prune -f | tail -n 1 | cut -d ' ' -f 1-4; docker volume ls -q
Total reclaimed space: 0B
named
other
$ docker volume prune -f --all --filter label=a | head -n 2; docker volume ls -q
Deleted Volumes:
named
other
$ docker volume prune -f --all --filter label!=a >/dev/null; docker volume ls -q; docker rm -f runs
runs
$ docker volume create -o type=tmpfs -o device=tmpfs share; docker volume create >/dev/null; docker volume prune -f | wc -l; docker volume prune -fa; docker volume ls -q
share
4
Total reclaimed space: 0B
share
"#,
    );
}

#[test]
fn updates_are_kept_or_refused_in_dockers_words() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run -d --name uu busybox sleep 1000
<id>
$ docker update --restart on-failure:3 --cpuset-cpus 99999 uu
Error response from daemon: Invalid value 99999 for cpuset cpus: invalid format
[1]
$ docker update --restart on-failure:3 uu; docker inspect -f '{{.HostConfig.RestartPolicy}}' uu
uu
{on-failure 3}
$ docker update --memory 4m uu
Error response from daemon: Minimum memory limit allowed is 6MB
[1]
$ docker run -d --rm --name auto busybox sleep 1000 >/dev/null; docker update --restart always auto; docker rm -f auto uu
Error response from daemon: Restart policy cannot be updated because AutoRemove is enabled for the container
auto
uu
"#,
    );
}
