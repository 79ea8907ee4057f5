//! Bringing up the loopback interface of a new network namespace: a program that talks to itself over 127.0.0.1 works in
//! a container without a network, too (Docker does the same for every container).

use std::io;
use std::os::fd::AsFd;
use std::thread;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

/// `linux/rtnetlink.h`, `linux/netlink.h`, `linux/if.h`.
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const IFF_UP: u32 = 1;
/// The loopback interface is the first one of every network namespace.
const LOOPBACK: i32 = 1;

/// Brings up the loopback interface in the network namespace of process `pid`. Blocks for some microseconds.
///
/// # Errors
/// When the namespace cannot be entered, or the kernel refuses.
pub fn bring_up(pid: Pid) -> io::Result<()> {
    // A thread of its own: it ends in the other namespace and never comes back.
    let entered = thread::Builder::new()
        .name("loopback".to_owned())
        .spawn(move || {
            let process = pidfd_open(pid, PidfdFlags::empty())?;
            move_into_thread_name_spaces(process.as_fd(), ThreadNameSpaceType::NETWORK)?;
            set_up()
        })?;
    entered
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread failed")))
}

fn set_up() -> io::Result<()> {
    // No protocol is NETLINK_ROUTE.
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    send(&socket, &request(), SendFlags::empty())?;
    let mut answer = [0; 256];
    let (count, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    match error_of(&answer[..count]) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::other("netlink gave no answer")),
    }
}

/// `struct nlmsghdr` and `struct ifinfomsg`, in the machine's byte order.
fn request() -> Vec<u8> {
    let mut message = Vec::with_capacity(32);
    message.extend_from_slice(&32u32.to_ne_bytes());
    message.extend_from_slice(&RTM_NEWLINK.to_ne_bytes());
    message.extend_from_slice(&(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    message.extend_from_slice(&1u32.to_ne_bytes());
    message.extend_from_slice(&0u32.to_ne_bytes());
    // Family, padding, type.
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&LOOPBACK.to_ne_bytes());
    message.extend_from_slice(&IFF_UP.to_ne_bytes());
    // Which flags are meant.
    message.extend_from_slice(&IFF_UP.to_ne_bytes());
    message
}

/// The error number of an `NLMSG_ERROR` message (0 is success).
fn error_of(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    (kind == NLMSG_ERROR).then_some(())?;
    Some(i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn loopback_of_a_new_namespace_comes_up() {
        let script = "echo ready; read line; cat /sys/class/net/lo/flags /proc/net/fib_trie";
        let mut child = match Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "sh",
                "-c",
                &format!("mount -t sysfs none /sys; {script}"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
        {
            Ok(child) if rustix::process::geteuid().is_root() => child,
            _ => return eprintln!("skipped: needs root and unshare(1)"),
        };
        let mut output = io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        io::BufRead::read_line(&mut output, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        bring_up(Pid::from_child(&child)).unwrap();
        io::Write::write_all(&mut child.stdin.take().unwrap(), b"go\n").unwrap();
        let text = io::read_to_string(output).unwrap();
        child.wait().unwrap();
        assert!(text.starts_with("0x9\n"), "{text}");
        assert!(text.contains("127.0.0.1"), "{text}");
    }
}
