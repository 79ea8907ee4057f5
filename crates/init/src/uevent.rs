//! The kernel's announcements of devices (kernel: lib/kobject_uevent.c, Documentation/ABI/testing/sysfs-uevent).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with, sockopt,
};

/// The multicast group of the kernel's own messages; 2 would be udevd's.
const KERNEL_GROUP: u32 = 1;
/// Cold-plugging a large machine announces thousands of devices at once.
const RECEIVE_BUFFER: usize = 4 << 20;
/// The kernel builds messages in a buffer of 2 KiB, with 64 more for the header.
const MESSAGE_SIZE: usize = 8192;

/// What happened to which device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uevent {
    /// `add`, `remove`, `change`, …
    pub action: String,
    /// Its path below `/sys`.
    pub devpath: String,
    /// Kind of device, such as `block`.
    pub subsystem: String,
    /// Name of its node below `/dev`, when it has one.
    pub devname: Option<String>,
    /// What to look its driver up by.
    pub modalias: Option<String>,
}

impl Uevent {
    /// Parses a message: a header, then `KEY=VALUE`, all ended by NUL.
    #[must_use]
    pub fn parse(message: &[u8]) -> Option<Self> {
        let mut fields = message
            .split(|byte| *byte == 0)
            .map(String::from_utf8_lossy);
        fields.next().filter(|header| header.contains('@'))?;
        let mut event = Self {
            action: String::new(),
            devpath: String::new(),
            subsystem: String::new(),
            devname: None,
            modalias: None,
        };
        for field in fields {
            match field.split_once('=') {
                Some(("ACTION", value)) => event.action = value.to_owned(),
                Some(("DEVPATH", value)) => event.devpath = value.to_owned(),
                Some(("SUBSYSTEM", value)) => event.subsystem = value.to_owned(),
                Some(("DEVNAME", value)) => event.devname = Some(value.to_owned()),
                Some(("MODALIAS", value)) => event.modalias = Some(value.to_owned()),
                _ => {}
            }
        }
        (!event.action.is_empty() && !event.devpath.is_empty()).then_some(event)
    }
}

/// A socket that receives them. Open it before looking for devices, so that none is missed in between.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Subscribes.
    ///
    /// # Errors
    /// When the kernel refuses the socket.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            flags,
            Some(KOBJECT_UEVENT),
        )?;
        // Not allowed outside the initial user namespace; then the default size has to do.
        let _ = sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER);
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
        Ok(Self(socket))
    }

    /// The next message that is there, or `None`.
    ///
    /// # Errors
    /// `ENOBUFS` when messages were lost: look at all devices again. Others do not occur on an open socket.
    pub fn receive(&self) -> io::Result<Option<Uevent>> {
        let mut buffer = [0; MESSAGE_SIZE];
        loop {
            match recv(&self.0, &mut buffer, RecvFlags::empty()) {
                Ok((_, length)) => {
                    if let Some(event) = Uevent::parse(&buffer[..length.min(MESSAGE_SIZE)]) {
                        return Ok(Some(event));
                    }
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_kernel() {
        let message = b"add@/devices/pci0000:00/0000:00:03.0/virtio1/block/vda\0ACTION=add\0DEVPATH=/devices/x/block/vda\0\
                        SUBSYSTEM=block\0MAJOR=254\0DEVNAME=vda\0DEVTYPE=disk\0SEQNUM=1234\0";
        let want = Uevent {
            action: "add".into(),
            devpath: "/devices/x/block/vda".into(),
            subsystem: "block".into(),
            devname: Some("vda".into()),
            modalias: None,
        };
        assert_eq!(Uevent::parse(message), Some(want));
        for broken in [
            &b""[..],
            b"libudev\0ACTION=add\0DEVPATH=/x\0",
            b"add@/x\0SEQNUM=1\0",
        ] {
            assert_eq!(Uevent::parse(broken), None);
        }
    }

    #[test]
    fn a_quiet_socket_has_nothing() {
        match Listener::open() {
            Ok(listener) => assert!(listener.receive().is_ok()),
            Err(e) => eprintln!("skipped: no uevent socket here: {e}"),
        }
    }
}
