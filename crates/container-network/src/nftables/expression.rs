//! Expressions as the kernel's virtual machine has them: values go to registers, comparisons end a rule that does not hold.

use std::net::IpAddr;

use super::message::Attributes;
use super::{Expression, Rule};
use crate::cidr::Cidr;

/// Registers of 16 bytes.
const REGISTER: u32 = 1;
const SECOND_REGISTER: u32 = 2;
/// `enum nft_meta_keys`.
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
/// `enum nft_payload_bases`.
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// `enum nft_ct_keys`.
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
/// Bits of a connection's state: established and related; and of its status: `IPS_DST_NAT`.
const ESTABLISHED_RELATED: u32 = 2 | 4;
const DST_NAT: u32 = 1 << 5;
/// `RTN_LOCAL` of `linux/rtnetlink.h`.
const LOCAL: u32 = 2;
/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// Verdicts.
const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const JUMP: i32 = -3;

pub fn encode(rule: &Rule, out: &mut Attributes) {
    for expression in rule {
        one(expression, out);
    }
}

fn one(expression: &Expression, out: &mut Attributes) {
    match expression {
        Expression::From(name) => interface(out, META_IIFNAME, true, name),
        Expression::NotFrom(name) => interface(out, META_IIFNAME, false, name),
        Expression::To(name) => interface(out, META_OIFNAME, true, name),
        Expression::NotTo(name) => interface(out, META_OIFNAME, false, name),
        Expression::Family(is_ipv6) => family(out, *is_ipv6),
        Expression::Source(cidr) => network(out, *cidr, 12, 8),
        Expression::Destination(cidr) => network(out, *cidr, 16, 24),
        Expression::Port(protocol, port) => {
            meta(out, META_L4PROTO);
            compare(out, true, &[protocol.number()]);
            payload(out, TRANSPORT_HEADER, 2, 2);
            compare(out, true, &port.to_be_bytes());
        }
        Expression::Local => {
            element(out, "fib", |out| {
                out.number(1, REGISTER);
                // The type of the destination.
                out.number(2, 3);
                out.number(3, 2);
            });
            compare(out, true, &LOCAL.to_ne_bytes());
        }
        Expression::Established => connection(out, CT_STATE, ESTABLISHED_RELATED),
        Expression::WasDnat => connection(out, CT_STATUS, DST_NAT),
        Expression::Jump(chain) => verdict(out, JUMP, Some(chain)),
        Expression::Accept => verdict(out, ACCEPT, None),
        Expression::Drop => verdict(out, DROP, None),
        Expression::Masquerade => element(out, "masq", |_| {}),
        Expression::Dnat(address, port) => destination(out, *address, *port),
    }
}

fn element(out: &mut Attributes, name: &str, data: impl FnOnce(&mut Attributes)) {
    out.nest(1, |out| {
        out.text(1, name);
        out.nest(2, data);
    });
}

fn meta(out: &mut Attributes, key: u32) {
    element(out, "meta", |out| {
        out.number(1, REGISTER);
        out.number(2, key);
    });
}

fn compare(out: &mut Attributes, equal: bool, value: &[u8]) {
    element(out, "cmp", |out| {
        out.number(1, REGISTER);
        out.number(2, u32::from(!equal));
        out.nest(3, |out| out.bytes(1, value));
    });
}

fn payload(out: &mut Attributes, base: u32, offset: u32, length: u32) {
    element(out, "payload", |out| {
        out.number(1, REGISTER);
        out.number(2, base);
        out.number(3, offset);
        out.number(4, length);
    });
}

/// Keeps the bits of `mask`.
fn bitwise(out: &mut Attributes, mask: &[u8]) {
    element(out, "bitwise", |out| {
        out.number(1, REGISTER);
        out.number(2, REGISTER);
        out.number(3, u32::try_from(mask.len()).unwrap_or(0));
        out.nest(4, |out| out.bytes(1, mask));
        out.nest(5, |out| out.bytes(1, &vec![0; mask.len()]));
    });
}

/// Names are compared whole, filled up with zeros (`IFNAMSIZ`).
fn interface(out: &mut Attributes, key: u32, equal: bool, name: &str) {
    let mut padded = [0; 16];
    let length = name.len().min(15);
    padded[..length].copy_from_slice(&name.as_bytes()[..length]);
    meta(out, key);
    compare(out, equal, &padded);
}

fn family(out: &mut Attributes, is_ipv6: bool) {
    meta(out, META_NFPROTO);
    compare(out, true, &[if is_ipv6 { IPV6 } else { IPV4 }]);
}

/// In a table of both families an address must be looked for in packets of its own only.
fn network(out: &mut Attributes, cidr: Cidr, offset_v4: u32, offset_v6: u32) {
    let offset = if cidr.is_ipv6() { offset_v6 } else { offset_v4 };
    let (address, mask) = (octets(cidr.network().address), octets(cidr.netmask()));
    family(out, cidr.is_ipv6());
    payload(
        out,
        NETWORK_HEADER,
        offset,
        u32::try_from(address.len()).unwrap_or(0),
    );
    if mask.iter().any(|byte| *byte != 0xff) {
        bitwise(out, &mask);
    }
    compare(out, true, &address);
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn connection(out: &mut Attributes, key: u32, mask: u32) {
    element(out, "ct", |out| {
        out.number(1, REGISTER);
        out.number(2, key);
    });
    bitwise(out, &mask.to_ne_bytes());
    compare(out, false, &[0; 4]);
}

fn verdict(out: &mut Attributes, code: i32, chain: Option<&str>) {
    element(out, "immediate", |out| {
        // The register of verdicts.
        out.number(1, 0);
        out.nest(2, |out| {
            out.nest(2, |out| {
                out.number(1, code.cast_unsigned());
                if let Some(chain) = chain {
                    out.text(2, chain);
                }
            });
        });
    });
}

fn immediate(out: &mut Attributes, register: u32, value: &[u8]) {
    element(out, "immediate", |out| {
        out.number(1, register);
        out.nest(2, |out| out.bytes(1, value));
    });
}

fn destination(out: &mut Attributes, address: IpAddr, port: u16) {
    let family = if address.is_ipv6() { IPV6 } else { IPV4 };
    immediate(out, REGISTER, &octets(address));
    immediate(out, SECOND_REGISTER, &port.to_be_bytes());
    element(out, "nat", |out| {
        // The destination, of this family, from the two registers.
        out.number(1, 1);
        out.number(2, family.into());
        out.number(3, REGISTER);
        out.number(5, SECOND_REGISTER);
    });
}
