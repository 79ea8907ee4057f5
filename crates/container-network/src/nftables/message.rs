//! nfnetlink messages: a transaction that replaces or removes a table.

use super::expression;
use super::{Chain, Rule, Table};

/// `linux/netfilter/nfnetlink.h`: the subsystem, and the ends of a transaction.
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// `linux/netfilter/nf_tables.h`: kinds of messages.
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
/// `linux/netlink.h`: flags.
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const NESTED: u16 = 0x8000;
/// `linux/netfilter.h`: `NFPROTO_INET`.
const INET: u8 = 1;

/// Messages that the kernel takes all together or not at all.
pub struct Transaction {
    pub bytes: Vec<u8>,
    /// Sequence number of the last message that says something: the kernel acknowledges it.
    pub last: u32,
}

/// Replaces `table`. Making it first lets the removal succeed where there is none.
pub fn replace(table: &Table) -> Transaction {
    let mut batch = Batch::begin();
    batch.table(NEW_TABLE, table.name);
    batch.table(DELETE_TABLE, table.name);
    batch.table(NEW_TABLE, table.name);
    for chain in &table.chains {
        batch.chain(table.name, chain);
    }
    for chain in &table.chains {
        for rule in &chain.rules {
            batch.rule(table.name, chain.name, rule);
        }
    }
    batch.end()
}

/// Removes the table.
pub fn remove(name: &str) -> Transaction {
    let mut batch = Batch::begin();
    batch.table(NEW_TABLE, name);
    batch.table(DELETE_TABLE, name);
    batch.end()
}

struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
    /// Where the last message starts.
    last: usize,
}

impl Batch {
    fn begin() -> Self {
        let mut batch = Self {
            bytes: Vec::new(),
            sequence: 0,
            last: 0,
        };
        batch.message(BATCH_BEGIN, REQUEST, |_| {});
        batch
    }

    fn end(mut self) -> Transaction {
        let flags = self.last + 6;
        self.bytes[flags..flags + 2]
            .copy_from_slice(&(REQUEST | CREATE | APPEND | ACK).to_ne_bytes());
        let last = self.sequence;
        self.message(BATCH_END, REQUEST, |_| {});
        Transaction {
            bytes: self.bytes,
            last,
        }
    }

    fn table(&mut self, kind: u16, name: &str) {
        self.message(kind, REQUEST | CREATE, |out| out.text(1, name));
    }

    fn chain(&mut self, table: &str, chain: &Chain) {
        self.message(NEW_CHAIN, REQUEST | CREATE, |out| {
            out.text(1, table);
            out.text(3, chain.name);
            if let Some(hook) = chain.hook {
                let (kind, _, number, priority, _) = hook.parts();
                out.nest(4, |out| {
                    out.number(1, number);
                    out.number(2, priority.cast_unsigned());
                });
                // NF_ACCEPT
                out.number(5, 1);
                out.text(7, kind);
            }
        });
    }

    fn rule(&mut self, table: &str, chain: &str, rule: &Rule) {
        self.message(NEW_RULE, REQUEST | CREATE | APPEND, |out| {
            out.text(1, table);
            out.text(2, chain);
            out.nest(4, |out| expression::encode(rule, out));
        });
    }

    /// `struct nlmsghdr`, `struct nfgenmsg`, and attributes.
    fn message(&mut self, kind: u16, flags: u16, attributes: impl FnOnce(&mut Attributes)) {
        self.last = self.bytes.len();
        self.sequence += 1;
        let is_end = matches!(kind, BATCH_BEGIN | BATCH_END);
        let mut out = Attributes(Vec::with_capacity(64));
        attributes(&mut out);
        let length = u32::try_from(20 + out.0.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.push(if is_end { 0 } else { INET });
        self.bytes.push(0);
        let resource = if is_end { SUBSYSTEM } else { 0 };
        self.bytes.extend_from_slice(&resource.to_be_bytes());
        self.bytes.extend_from_slice(&out.0);
    }
}

/// Netlink attributes, one behind the other. nftables has numbers in network byte order.
pub struct Attributes(Vec<u8>);

impl Attributes {
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        // The longest value here is a rule: some hundred bytes.
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    pub fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    pub fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub fn nest(&mut self, kind: u16, content: impl FnOnce(&mut Self)) {
        let mut inner = Self(Vec::new());
        content(&mut inner);
        self.bytes(kind | NESTED, &inner.0);
    }
}
