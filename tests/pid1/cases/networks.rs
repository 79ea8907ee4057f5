//! Networks of containers. Each test has a network namespace: "the machine" is that namespace.

use crate::host::Host;

#[test]
fn networks_are_made_shown_and_removed() {
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    host.session(
        r#"
$ docker network ls --format '{{.Name}} {{.Driver}} {{.Scope}}'
bridge bridge local
host host local
none null local
$ docker network create foo; docker network create --subnet 10.9.0.0/16 --ip-range 10.9.5.0/24 --gateway 10.9.0.254 --aux-address dns=10.9.5.1 --label a=b --internal bar
<id>
<id>
$ docker network inspect -f '{{.Name}} {{.Internal}} {{json .IPAM}} {{json .Labels}} {{json .Containers}}' foo bar
foo false {"Driver":"default","Options":{},"Config":[{"Subnet":"172.19.0.0/16","Gateway":"172.19.0.1"}]} {} {}
bar true {"Driver":"default","Options":{},"Config":[{"Subnet":"10.9.0.0/16","IPRange":"10.9.5.0/24","Gateway":"10.9.0.254","AuxiliaryAddresses":{"dns":"10.9.5.1"}}]} {"a":"b"} {}
$ docker network ls -q --filter label=a=b | grep -c .; docker network ls --filter type=custom --format '{{.Name}}'
1
bar
foo
$ ip -o link | cut -d: -f2
 lo
$ docker network create foo
Error response from daemon: network with name foo already exists
[1]
$ docker network create bridge
Error response from daemon: operation is not permitted on predefined bridge network
[1]
$ docker network create --subnet 10.9.5.0/24 overlap
Error response from daemon: invalid pool request: Pool overlaps with other one on this address space
[1]
$ docker network create --subnet 10.8.0.5/24 bad
Error response from daemon: invalid network config:
invalid subnet 10.8.0.5/24: it should be 10.8.0.0/24
[1]
$ docker network create -d nope bad
Error response from daemon: could not find plugin nope in v1 plugin registry: plugin not found
[1]
$ docker network rm none
Error response from daemon: none is a pre-defined network and cannot be removed
exit status 1
[1]
$ docker network rm nope
Error response from daemon: network nope not found
exit status 1
[1]
$ docker create --name idle --network foo busybox true >/dev/null; docker network prune -f
Deleted Networks:
bar

$ docker rm idle; docker network rm foo; docker network ls -q --filter type=custom
idle
foo
"#,
    );
}

#[test]
fn neighbours_find_each_other_by_name() {
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    host.session(
        r#"
$ docker network create --subnet 10.9.0.0/24 foo
<id>
$ docker run -d --name web --hostname server --network foo --network-alias www --ip 10.9.0.7 --mac-address 02:42:00:00:00:07 busybox sh -c 'echo hello >/index.html; httpd -f -p 80 -h /'
<id>
$ docker run --rm --network foo busybox sh -c 'ping -c 1 -q web | head -n 1; for name in web www.foo server; do until wget -q -O - http://$name/; do usleep 50000; done; done; nslookup 10.9.0.7 | grep name' | tr "\t" " "
PING web (10.9.0.7): 56 data bytes
hello
hello
hello
7.0.9.10.in-addr.arpa name = web.foo
$ docker exec web sh -c 'ip -o -4 addr show eth0; ip route; tail -n 1 /etc/hosts; cat /etc/resolv.conf | grep -v "^search"; cat /sys/class/net/eth0/address' | tr '\t' ' '
2: eth0  inet 10.9.0.7/24 brd 10.9.0.255 scope global eth0\  valid_lft forever preferred_lft forever
default via 10.9.0.1 dev eth0
10.9.0.0/24 dev eth0 scope link  src 10.9.0.7
10.9.0.7 server
nameserver 127.0.0.11
options ndots:0
02:42:00:00:00:07
$ docker inspect -f '{{json .NetworkSettings.Networks.foo.IPAMConfig}} {{.NetworkSettings.Networks.foo.IPAddress}} {{.NetworkSettings.Networks.foo.MacAddress}} {{.NetworkSettings.Networks.foo.DNSNames}}' web
{"IPv4Address":"10.9.0.7"} 10.9.0.7 02:42:00:00:00:07 [web www <id> server]
$ docker network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}' foo
web 10.9.0.7/24
$ docker rename web site; docker run --rm --network foo busybox sh -c 'nslookup site | grep "^Name"; nslookup web | grep -c "^Name"' | tr '\t' ' '
Name: site
0
$ docker run --rm --network foo --link site:mine busybox sh -c 'nslookup mine | grep "^Address: "'
Address: 10.9.0.7
$ docker run --rm --network foo --ip 10.9.0.7 busybox true
docker: Error response from daemon: failed to set up container networking: Address already in use

Run 'docker run --help' for more information
[125]
$ docker run --rm --network foo --ip 10.8.0.7 busybox true
docker: Error response from daemon: failed to set up container networking: invalid endpoint settings:
no configured subnet contains IP address 10.8.0.7

Run 'docker run --help' for more information
[125]
$ docker run --rm --ip 10.8.0.7 busybox true
docker: Error response from daemon: invalid endpoint settings:
user-specified IP address is supported on user-defined networks only

Run 'docker run --help' for more information
[125]
$ docker network rm foo
Error response from daemon: error while removing network: network foo has active endpoints (name:"site" id:"<id>")
exit status 1
[1]
$ docker rm -f site; docker network rm foo; ip -o link | cut -d: -f2; nft list ruleset
site
foo
 lo
"#,
    );
}

#[test]
fn ports_are_published_on_the_machine() {
    let Some(mut host) = Host::start_with_networks() else {
        return;
    };
    host.session(
        r#"
$ docker run -d --name web --stop-timeout 0 --restart always -p 8080:80 -p 127.0.0.1:9000-9010:81/udp -p 80 --expose 443 busybox sh -c 'echo hello >/index.html; httpd -f -p 80 -h /'
<id>
$ docker port web
80/tcp -> 0.0.0.0:8080
80/tcp -> 0.0.0.0:32768
81/udp -> 127.0.0.1:9000
$ docker ps --format '{{.Ports}}'
443/tcp, 0.0.0.0:8080->80/tcp, 0.0.0.0:32768->80/tcp, 127.0.0.1:9000->81/udp
$ for port in 8080 32768; do for host in 127.0.0.1 172.18.42.1; do timeout 20 sh -c "until busybox wget -q -O - http://$host:$port/ 2>/dev/null; do :; done"; done; done
hello
hello
hello
hello
$ docker run --rm busybox sh -c 'wget -q -O - http://172.18.42.1:8080/; wget -q -O - http://172.18.0.1/'
hello
hello
$ docker exec web wget -q -O - http://172.18.42.1:8080/
hello
$ docker exec web wget -q -O - http://172.18.42.1:8081/ 2>&1 | head -n 1
wget: can't connect to remote host (172.18.42.1): Connection refused
$ docker run --rm -p 8080:80 busybox true 2>&1 | sed 's/endpoint.*):/endpoint:/'
docker: Error response from daemon: failed to set up container networking: driver failed programming external connectivity on endpoint: Bind for 0.0.0.0:8080 failed: port is already allocated

Run 'docker run --help' for more information
$ busybox nc -l -p 8085 & timeout 20 sh -c 'until busybox netstat -ltn | grep -q :8085; do :; done'; docker run --rm -p 8085:80 busybox true 2>&1 | sed 's/endpoint.*):/endpoint:/'; kill $!
docker: Error response from daemon: failed to set up container networking: driver failed programming external connectivity on endpoint: failed to bind host port 0.0.0.0:8085/tcp: address already in use

Run 'docker run --help' for more information
$ docker run --rm -p 80/x busybox true 2>&1 | head -n 1
docker: invalid proto: x
$ docker run --rm --network host -p 1:1 busybox true
WARNING: Published ports are discarded when using host network mode
"#,
    );
    for graceful in [true, false] {
        host.restart(graceful);
        host.session(
            r#"
$ timeout 20 sh -c 'until busybox wget -q -O - http://127.0.0.1:8080/ 2>/dev/null; do :; done'
hello
$ nft list ruleset | grep -c dport; ip -o link | grep -c csys-
3
1
"#,
        );
    }
    host.session(
        r#"
$ docker rm -f web; nft list chain inet coracle ports; ip -o link | cut -d: -f2; busybox wget -q -O - http://127.0.0.1:8080/
web
table inet coracle {
	chain ports {
	}
}
 lo
 docker-sys
wget: can't connect to remote host (127.0.0.1): Connection refused
[1]
"#,
    );
}

#[test]
fn networks_are_apart_from_each_other() {
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    host.session(
        r#"
$ docker network create --subnet 10.1.0.0/24 one; docker network create --subnet 10.2.0.0/24 two; docker network create --subnet 10.3.0.0/24 --internal inner; docker network create --subnet 10.4.0.0/24 -o com.docker.network.bridge.enable_icc=false -o com.docker.network.bridge.name=apart apart
<id>
<id>
<id>
<id>
$ docker run -d --name a1 --network one busybox sleep 1000; docker run -d --name b1 --network two busybox sleep 1000; docker run -d --name c1 --network inner busybox sleep 1000
<id>
<id>
<id>
$ docker exec a1 ping -q -c 1 -W 1 10.2.0.2 >/dev/null 2>&1; echo $?; docker exec a1 ping -q -c 1 -W 1 10.3.0.2 >/dev/null 2>&1; echo $?; docker exec c1 ping -q -c 1 -W 1 10.1.0.2 >/dev/null 2>&1; echo $?
1
1
1
$ docker exec a1 nslookup b1 2>&1 | grep -c ^Name
0
[1]
$ docker exec c1 ip route
10.3.0.0/24 dev eth0 scope link  src 10.3.0.2
$ docker inspect -f '{{.NetworkSettings.Networks.inner.Gateway}}.' c1
.
$ docker run -d --name d1 --network apart busybox sleep 1000; docker run --rm --network apart busybox sh -c 'ping -q -c 1 -W 1 d1 >/dev/null; echo $?; ping -q -c 1 -W 5 10.4.0.1 >/dev/null; echo $?'
<id>
1
0
$ ip -o link show apart | cut -d: -f2
 apart
"#,
    );
    // The machine's own 127.0.0.1 is not for containers, although published ports are reached there.
    host.session(
        r#"
$ busybox nc -l -p 7000 </dev/null >/dev/null & docker run --rm --privileged busybox sh -c 'echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet; ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1/32 via 172.18.42.1; nc -w 1 127.0.0.1 7000 2>&1'; kill $!
nc: timed out
$ docker rm -f a1 b1 c1 d1 | sort; docker network prune -f | sort; ip -o link | cut -d: -f2
a1
b1
c1
d1

Deleted Networks:
apart
inner
one
two
 lo
 docker-sys
"#,
    );
}

#[test]
fn running_containers_change_networks() {
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    host.session(
        r#"
$ docker network create --subnet 10.1.0.0/24 one; docker network create --subnet 10.2.0.0/24 two
<id>
<id>
$ docker run -d --name web -p 8080:80 busybox sh -c 'echo hello >/index.html; httpd -f -p 80 -h /'; docker run -d --name client --network one busybox sleep 1000
<id>
<id>
$ docker network connect --alias www --ip 10.1.0.9 one web; docker exec web sh -c 'ip -o -4 addr | tr -s " " | cut -d" " -f2,4; ip route | grep default; tail -n 2 /etc/hosts; grep nameserver /etc/resolv.conf' | tr '\t' ' '
lo 127.0.0.1/8
eth0 172.18.0.1/16
eth1 10.1.0.9/24
default via 172.18.42.1 dev eth0
172.18.0.1 <id>
10.1.0.9 <id>
nameserver 127.0.0.11
$ docker exec client sh -c 'until wget -q -O - http://www/; do usleep 50000; done'; docker exec web nslookup client | grep '^Name' | tr '\t' ' '
hello
Name: client
$ docker network connect one web
Error response from daemon: endpoint with name web already exists in network one
[1]
$ docker network disconnect bridge web; docker exec web sh -c 'ip -o -4 addr | tr -s " " | cut -d" " -f2,4; ip route | grep default; tail -n 1 /etc/hosts | tr "\t" " "'; docker port web; busybox wget -q -O - http://127.0.0.1:8080/
lo 127.0.0.1/8
eth1 10.1.0.9/24
default via 10.1.0.1 dev eth1
10.1.0.9 <id>
80/tcp -> 0.0.0.0:8080
hello
$ docker network disconnect bridge web 2>&1 | sed 's/container [0-9a-f]*/container <id>/'
Error response from daemon: container <id> is not connected to network bridge
$ docker network connect two web; docker restart -t 0 web; docker inspect -f '{{range $name, $net := .NetworkSettings.Networks}}{{$name}} {{$net.IPAddress}} {{end}}' web; docker exec web ip route | grep default
web
one 10.1.0.9 two 10.2.0.2
default via 10.1.0.1 dev eth0
$ docker stop -t 0 web; docker network disconnect two web; docker network connect bridge web; docker start web; docker inspect -f '{{range $name, $net := .NetworkSettings.Networks}}{{$name}} {{end}}' web
web
web
bridge one
$ docker network connect none web
Error response from daemon: container cannot be connected to multiple networks with one of the networks in private (none) mode
[1]
$ docker network connect host web
Error response from daemon: cannot connect container to host network - container must be created in host network mode
[1]
$ docker network connect nope web; docker network connect one nope
Error response from daemon: network nope not found
Error response from daemon: No such container: nope
[1]
$ docker rm -f web client; docker network rm one two; ip -o link | grep -c csys-
web
client
one
two
0
[1]
"#,
    );
}

#[test]
fn files_of_a_container_say_who_is_where() {
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    host.session(
        r#"
$ docker run -d --name db --hostname data busybox sleep 1000
<id>
$ docker run --rm --link db:database --add-host one:10.0.0.1 --add-host me:host-gateway --hostname web.example.org --dns 9.9.9.9 --dns-search example.org --dns-option rotate busybox sh -c 'tail -n 4 /etc/hosts; cat /etc/resolv.conf; ping -q -c 1 database | head -n 1' | tr '\t' ' '
10.0.0.1 one
172.18.42.1 me
172.18.0.1 database data db
172.18.0.2 web.example.org web
nameserver 9.9.9.9
search example.org
options rotate
PING database (172.18.0.1): 56 data bytes
$ docker stop -t 0 db; docker run --rm --link db busybox true
db
docker: Error response from daemon: Cannot link to a non running container: /db AS db

Run 'docker run --help' for more information
[125]
$ docker run --rm --link nope busybox true
docker: Error response from daemon: could not get container for nope: No such container: nope

Run 'docker run --help' for more information
[125]
$ docker rm db; docker run --rm --network none busybox ip -o link | wc -l
db
1
$ docker run -d --name owner busybox sleep 1000 >/dev/null; docker run --rm --network container:owner busybox sh -c 'ip -o -4 addr show eth0 | tr -s " " | cut -d" " -f4; tail -n 1 /etc/hosts' | tr '\t' ' '; docker rm -f owner
172.18.0.1/16
172.18.0.1 <id>
owner
"#,
    );
}

#[test]
fn both_families_work_side_by_side() {
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    host.session(
        r#"
$ docker network create --ipv6 --subnet 10.1.0.0/24 --subnet fd00:1::/64 both
<id>
$ docker run -d --name web --network both -p 8080:80 busybox sh -c 'echo hello >/index.html; httpd -f -p 80 -h /'; docker port web
<id>
80/tcp -> 0.0.0.0:8080
80/tcp -> [::]:8080
$ timeout 20 sh -c 'until busybox wget -q -O - "http://[fd00:1::1]:8080/" 2>/dev/null; do :; done'; docker run --rm --network both busybox sh -c 'ip -6 route | grep default; wget -q -O - "http://[fd00:1::2]/"; nslookup web | grep "^Address: " | sort'
hello
default via fd00:1::1 dev eth0  metric 1024
hello
Address: 10.1.0.2
Address: fd00:1::2
$ docker inspect -f '{{with .NetworkSettings.Networks.both}}{{.GlobalIPv6Address}}/{{.GlobalIPv6PrefixLen}} {{.IPv6Gateway}}{{end}}' web
fd00:1::2/64 fd00:1::1
$ docker rm -f web; docker network rm both
web
both
"#,
    );
}

#[test]
fn the_default_network_gives_way_to_the_machines_own() {
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    host.session(
        r#"
$ docker network create own >/dev/null; ip link add user type bridge; ip addr add 172.18.0.1/16 dev user; ip addr add 172.19.0.1/16 dev user; ip link set user up
$ docker run --rm busybox ip -o -4 addr show eth0 | tr -s ' ' | cut -d' ' -f4; docker run --rm --network own busybox ip -o -4 addr show eth0 | tr -s ' ' | cut -d' ' -f4
172.20.0.2/16
172.21.0.2/16
$ docker network inspect -f '{{(index .IPAM.Config 0).Subnet}}' bridge own
172.20.0.0/16
172.21.0.0/16
"#,
    );
}

#[test]
fn containers_may_sit_on_an_interface_of_the_machine() {
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    host.session(
        r#"
$ ip link add outside type veth peer name uplink; ip link set outside up; ip link set uplink up; ip addr add 10.5.0.1/24 dev outside
$ docker network create -d macvlan -o parent=lo lan
Error response from daemon: loopback interface is not a valid macvlan parent link
[1]
$ docker network create -d macvlan --subnet 10.5.0.0/24 -o parent=uplink lan; docker network create -d macvlan -o parent=gone away; docker network create -d macvlan -o parent=uplink again
<id>
<id>
Error response from daemon: network lan is already using parent interface uplink
[1]
$ docker run -d --name web --network lan --mac-address 02:42:00:00:00:09 --ip 10.5.0.9 busybox sh -c 'echo hello >/index.html; httpd -f -p 80 -h /'; docker run --rm --network lan busybox sh -c 'ping -q -c 1 web | head -n 1; ip route | grep default; until wget -q -O - http://web/; do usleep 50000; done'
<id>
PING web (10.5.0.9): 56 data bytes
default via 10.5.0.1 dev eth0
hello
$ timeout 20 sh -c 'until busybox wget -q -O - http://10.5.0.9/ 2>/dev/null; do :; done'; docker exec web cat /sys/class/net/eth0/address
hello
02:42:00:00:00:09
$ docker network connect bridge web; docker network disconnect lan web; docker exec web sh -c 'ip -o link | cut -d: -f2 | cut -d@ -f1; ip route | grep default'
 lo
 eth1
default via 172.18.42.1 dev eth1
$ docker run --rm --network away busybox true
docker: Error response from daemon: failed to set up container networking: invalid subinterface vlan name gone, example formatting is eth0.10

Run 'docker run --help' for more information
[125]
$ docker rm -f web; docker network rm lan away
web
lan
away
"#,
    );
}

#[test]
fn ipvlan_routes_without_a_gateway() {
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    if !has_interfaces(&host, &["ipvlan mode l3"]) {
        return;
    }
    host.session(
        r#"
$ ip link add outside type veth peer name uplink; ip link set outside up; ip link set uplink up; ip addr add 10.5.0.1/24 dev uplink
$ docker network create -d ipvlan -o ipvlan_mode=l4 -o parent=uplink lan
Error response from daemon: requested ipvlan mode 'l4' is not valid, 'l2' mode is the ipvlan driver default
[1]
$ docker network create -d ipvlan --subnet 10.6.0.0/24 -o ipvlan_mode=l3 -o parent=uplink lan | wc -c
65
$ docker run -d --name web --network lan --ip 10.6.0.9 busybox sh -c 'echo hello >/index.html; httpd -f -p 80 -h /'; docker exec web ip route | tr -s ' ' | sed 's, *$,,'
<id>
default dev eth0 scope link
10.6.0.0/24 dev eth0 scope link src 10.6.0.9
$ docker inspect -f '{{.NetworkSettings.Networks.lan.Gateway}}|{{.NetworkSettings.Networks.lan.IPAddress}}' web
|10.6.0.9
$ docker run --rm --network lan busybox sh -c 'until wget -q -O - http://web/; do usleep 50000; done'
hello
$ docker rm -f web; docker network rm lan; ip -o link show uplink | wc -l
web
lan
1
"#,
    );
}

#[test]
fn parents_are_made_and_go_with_their_network() {
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    if !has_interfaces(&host, &["vlan id 10", "macvlan", "dummy"]) {
        return;
    }
    host.session(
        r#"
$ ip link add outside type veth peer name uplink; ip link set outside up; ip link set uplink up; ip link add link outside name outside.10 type vlan id 10; ip link set outside.10 up; ip addr add 10.7.0.1/24 dev outside.10
$ docker network create -d macvlan --subnet 10.7.0.0/24 -o parent=uplink.10 tagged >/dev/null; ip -o link show uplink.10 2>&1 | wc -l; docker run --rm --network tagged busybox ping -q -c 1 10.7.0.1 | head -n 1
Device "uplink.10" does not exist.
PING 10.7.0.1 (10.7.0.1): 56 data bytes
$ ip -o link show uplink.10 | wc -l; docker network rm tagged; ip link show uplink.10
1
tagged
Device "uplink.10" does not exist.
[1]
$ docker network create -d macvlan --subnet 10.8.0.0/24 alone >/dev/null; docker run --rm --network alone busybox ip route | cut -d' ' -f1; ip -o link show type dummy | grep -c dm-
10.8.0.0/24
1
$ docker network rm alone; ip -o link show type dummy | grep -c dm-
alone
0
[1]
$ docker network create -d macvlan -o parent=none.10 away >/dev/null; docker run --rm --network away busybox true 2>&1 | head -n 1; docker network rm away
docker: Error response from daemon: failed to set up container networking: -o parent interface was not found on the host: none
away
$ docker network create -d macvlan -o parent=uplink.5000 away >/dev/null; docker run --rm --network away busybox true 2>&1 | head -n 1; docker network rm away
docker: Error response from daemon: failed to set up container networking: vlan id must be between 1-4094, received: 5000
away
"#,
    );
}

/// Whether the kernel can make such interfaces; says why a test is skipped.
fn has_interfaces(host: &Host, kinds: &[&str]) -> bool {
    kinds.iter().all(|kind| {
        let (_, status) = host.shell(&format!(
            "ip link add try-below type veth peer name try-above; ip link add try link try-below type {kind}; made=$?
             ip link del try; ip link del try-below; exit $made"
        ));
        if status != 0 {
            eprintln!("SKIPPED: the kernel has no interfaces of type {kind}");
        }
        status == 0
    })
}

#[test]
fn other_names_are_asked_of_the_machines_servers() {
    let Some(host) = Host::start_with_networks() else {
        return;
    };
    host.session(
        r#"
$ dnsmasq -p 53 --listen-address=127.0.0.1 --bind-interfaces --no-resolv --no-hosts --address=/example.org/192.0.2.7 -u root --pid-file=$PWD/dnsmasq.pid; docker network create foo; docker network create --internal inner
<id>
<id>
$ docker run -d --name web --network foo --dns 127.0.0.1 busybox sleep 1000
WARNING: Localhost DNS (127.0.0.1) may fail in containers.
<id>
$ docker exec web sh -c 'nslookup -type=a example.org | grep ^Address; nslookup -type=a web | grep ^Name' | tr '\t' ' '
Address: 127.0.0.11:53
Address: 192.0.2.7
Name: web
$ docker exec web sh -c "printf '\000\025\253\315\001\000\000\001\000\000\000\000\000\000\003web\000\000\001\000\001' | nc 127.0.0.11 53 | wc -c; printf '\000\035\253\315\001\000\000\001\000\000\000\000\000\000\007example\003org\000\000\001\000\001' | nc 127.0.0.11 53 | wc -c"
39
47
$ docker run --rm --network inner --dns 127.0.0.1 busybox nslookup -type=a example.org | grep SERVFAIL
WARNING: Localhost DNS (127.0.0.1) may fail in containers.
** server can't find example.org: SERVFAIL
$ docker rm -f web; docker network rm foo inner; kill $(cat dnsmasq.pid)
web
foo
inner
$ docker events --since 1 --until $(($(date +%s) + 1)) --filter type=network --filter network=foo --format '{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}'
create foo bridge
connect foo bridge
disconnect foo bridge
destroy foo bridge
"#,
    );
}
