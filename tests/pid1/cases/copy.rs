//! `docker cp`, `docker export`, `docker diff`.

use crate::host::Host;

#[test]
fn files_are_copied_in_and_out() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run -d --name cc -v vol:/vol busybox sh -c 'mkdir /w; echo x >/w/x; ln -s x /w/l; ln -s /etc/passwd /w/abs; touch /w/ready; sleep 1000'
<id>
$ timeout 20 sh -c 'until docker exec cc test -e /w/ready; do :; done'
$ docker cp cc:/w out; ls out; cat out/x; readlink out/l
abs
l
ready
x
x
x
$ docker cp -L cc:/w/l followed; cat followed
x
$ docker cp cc:/w/. dot; ls dot | wc -l
4
$ docker cp cc:/none .
Error response from daemon: Could not find the file /none in container cc
[1]
$ echo new >new; docker cp new cc:/w/; docker cp new cc:/w/renamed; docker exec cc cat /w/new /w/renamed
new
new
$ docker cp new cc:/none/ 2>&1 | tail -n 1
no such directory
$ docker cp out cc:/w/x 2>&1 | tail -n 1
cannot copy directory
$ docker cp cc:/etc/passwd - | tar tf -
passwd
$ docker kill cc >/dev/null; docker cp new cc:/after; docker cp new cc:/vol/in-volume; docker cp cc:/w/new - | tar xOf -
new
$ docker run --rm -v vol:/v busybox cat /v/in-volume
new
$ docker start cc >/dev/null; docker exec cc cat /after
new
$ docker export cc | tar tf - | grep -E '^(after|w/x)$' | sort
after
w/x
$ docker rm -f cc
cc
$ docker create --read-only --name ro busybox true >/dev/null; docker cp new ro:/
Error response from daemon: container rootfs is marked read-only
[1]
"#,
    );
}

#[test]
fn changes_are_told() {
    let Some(host) = Host::start() else { return };
    host.session(
        r#"
$ docker run --name dd busybox sh -c 'rm /data/from-image; echo x >>/etc/passwd; mkdir /new; touch /new/file'
$ docker diff dd
C /data
D /data/from-image
C /etc
C /etc/passwd
A /new
A /new/file
"#,
    );
}
