//! One transaction with the kernel.

use std::io;

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size_force};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use super::message::Transaction;
use crate::error::{Doing, Result};

/// `NLMSG_ERROR`: an acknowledgement when its number is 0.
const ERROR: u16 = 2;

/// Sends it and waits for the answer, which the kernel gives at once.
pub fn transact(transaction: &Transaction, what: impl FnOnce() -> String) -> Result<()> {
    exchange(transaction).doing(what)
}

fn exchange(transaction: &Transaction) -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::NETFILTER),
    )?;
    // A transaction must go out in one piece, whatever the default is.
    set_socket_send_buffer_size_force(&socket, transaction.bytes.len() * 2 + (64 << 10))?;
    // With each error comes the message that it is about.
    set_socket_recv_buffer_size(&socket, 1 << 20)?;
    let sent = send(&socket, &transaction.bytes, SendFlags::empty())?;
    if sent != transaction.bytes.len() {
        return Err(io::Error::from_raw_os_error(
            rustix::io::Errno::MSGSIZE.raw_os_error(),
        ));
    }
    let mut buffer = vec![0; 16 << 10];
    loop {
        let (count, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        if let Some(result) = outcome(&buffer[..count], transaction.last) {
            return result;
        }
    }
}

/// What a datagram of answers says: an error of any message, or that the last one has arrived.
fn outcome(mut answers: &[u8], last: u32) -> Option<io::Result<()>> {
    while let Some(header) = answers.get(..20) {
        let word = |at: usize| {
            header[at..at + 4]
                .try_into()
                .map(u32::from_ne_bytes)
                .unwrap_or(0)
        };
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        if kind == ERROR {
            let code = word(16).cast_signed();
            if code != 0 {
                return Some(Err(io::Error::from_raw_os_error(-code)));
            }
            if word(8) == last {
                return Some(Ok(()));
            }
        }
        let length = (word(0) as usize).next_multiple_of(4).max(16);
        answers = answers.get(length..)?;
    }
    None
}
