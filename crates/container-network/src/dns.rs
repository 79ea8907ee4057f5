//! As much of DNS (RFC 1035) as a container's name server needs: reading a question, and answering it with addresses or a name. All
//! other questions are passed on as they are, so that nothing else of a message has to be understood.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where the name server of a container listens, as in Docker.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// Its port.
pub const PORT: u16 = 53;
/// Seconds for which an answer may be kept, as in Docker.
const TIME_TO_LIVE: u32 = 600;
/// The largest answer over UDP to a client that says nothing about it.
const UDP_LIMIT: usize = 512;
/// Names inside a message are at most this long.
const LONGEST_NAME: usize = 255;
const HEADER: usize = 12;

/// Types of records.
const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;
/// The class of the internet.
const IN: u16 = 1;

/// What a client wants to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Question {
    /// What exactly.
    pub wanted: Wanted,
    /// Length of header and question.
    end: usize,
}

/// Kinds of questions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// IPv4 (`false`) or IPv6 addresses of this name, which is in lower case and has no dot at its end.
    Addresses(String, bool),
    /// The name of this address.
    Name(IpAddr),
    /// Anything else.
    Other,
}

/// An answer of our own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// These addresses; none is "the name exists, but has no such address".
    Addresses(Vec<IpAddr>),
    /// This name.
    Name(String),
    /// Nobody could be asked.
    Failure,
}

/// Reads a question. `None` for what is no query with exactly one question.
pub fn question(message: &[u8]) -> Option<Question> {
    let header = message.get(..HEADER)?;
    let is_query = header[2] & 0xf8 == 0;
    let count = u16::from_be_bytes([header[4], header[5]]);
    if !is_query || count != 1 {
        return None;
    }
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // No pointers: there is nothing before a question that one could point to.
        if length > 63 || at + length - HEADER > LONGEST_NAME {
            return None;
        }
        let label = message.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
    let fields = message.get(at..at + 4)?;
    let (kind, class) = (
        u16::from_be_bytes([fields[0], fields[1]]),
        u16::from_be_bytes([fields[2], fields[3]]),
    );
    let wanted = match kind {
        A | AAAA if class == IN && !labels.is_empty() => {
            Wanted::Addresses(labels.join("."), kind == AAAA)
        }
        PTR if class == IN => reverse(&labels).map_or(Wanted::Other, Wanted::Name),
        _ => Wanted::Other,
    };
    Some(Question {
        wanted,
        end: at + 4,
    })
}

/// The address in `4.3.2.1.in-addr.arpa` or `1.0. … .ip6.arpa`.
fn reverse(labels: &[String]) -> Option<IpAddr> {
    let (parts, zone) = labels.split_at(labels.len().checked_sub(2)?);
    match (zone[0].as_str(), zone[1].as_str(), parts.len()) {
        ("in-addr", "arpa", 4) => {
            let mut octets = [0; 4];
            for (octet, part) in octets.iter_mut().zip(parts.iter().rev()) {
                *octet = part.parse().ok()?;
            }
            Some(Ipv4Addr::from(octets).into())
        }
        ("ip6", "arpa", 32) => {
            let mut bits = 0u128;
            for part in parts.iter().rev() {
                let digit = u128::from_str_radix(part, 16)
                    .ok()
                    .filter(|_| part.len() == 1)?;
                bits = bits << 4 | digit;
            }
            Some(Ipv6Addr::from_bits(bits).into())
        }
        _ => None,
    }
}

/// The message that answers `query`, whose question is `question`; over UDP not longer than every client takes.
pub fn respond(query: &[u8], question: &Question, answer: &Answer, is_udp: bool) -> Vec<u8> {
    let mut message = query.get(..question.end).unwrap_or(query).to_vec();
    let records: Vec<Vec<u8>> = match answer {
        Answer::Addresses(addresses) => addresses
            .iter()
            .map(|address| address_record(*address))
            .collect(),
        Answer::Name(name) => vec![record(PTR, &encode_name(name))],
        Answer::Failure => Vec::new(),
    };
    let mut count = 0u16;
    let mut is_cut = false;
    for record in records {
        if is_udp && message.len() + record.len() > UDP_LIMIT {
            is_cut = true;
            break;
        }
        message.extend(record);
        count += 1;
    }
    let failure = if *answer == Answer::Failure { 2 } else { 0 };
    // An answer; what was asked of recursion is kept, and there is some.
    message[2] = 0x80 | query[2] & 0x01 | if is_cut { 0x02 } else { 0 };
    message[3] = 0x80 | failure;
    message[6..8].copy_from_slice(&count.to_be_bytes());
    // No records of other kinds: also none of those that a client sends along (EDNS).
    message[8..12].fill(0);
    message
}

fn address_record(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => record(A, &v4.octets()),
        IpAddr::V6(v6) => record(AAAA, &v6.octets()),
    }
}

fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    // Its name is that of the question: a pointer to it.
    let mut bytes = vec![0xc0, HEADER as u8];
    bytes.extend(kind.to_be_bytes());
    bytes.extend(IN.to_be_bytes());
    bytes.extend(TIME_TO_LIVE.to_be_bytes());
    bytes.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn encode_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        bytes.push(u8::try_from(label.len()).unwrap_or(63));
        bytes.extend_from_slice(label);
    }
    bytes.truncate(LONGEST_NAME - 1);
    bytes.push(0);
    bytes
}

/// Whether `answer` belongs to `query`, and whether another server may know better (it failed or refused).
pub fn is_answer(query: &[u8], answer: &[u8]) -> Option<bool> {
    let (asked, answered) = (query.get(..HEADER)?, answer.get(..HEADER)?);
    let is_answer = asked[..2] == answered[..2] && answered[2] & 0x80 != 0;
    is_answer.then(|| matches!(answered[3] & 0x0f, 2 | 5))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        message.extend(encode_name(name));
        message.extend(kind.to_be_bytes());
        message.extend(IN.to_be_bytes());
        message
    }

    fn addresses(name: &str, is_ipv6: bool) -> Wanted {
        Wanted::Addresses(name.into(), is_ipv6)
    }

    #[test]
    fn questions_are_read() {
        let six = "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        for (name, kind, expected) in [
            ("Web", A, addresses("web", false)),
            ("web.example.org", AAAA, addresses("web.example.org", true)),
            (
                "4.3.2.1.in-addr.arpa",
                PTR,
                Wanted::Name([1, 2, 3, 4].into()),
            ),
            (
                six,
                PTR,
                Wanted::Name("2001:db8::567:89ab".parse().unwrap()),
            ),
            ("3.2.1.in-addr.arpa", PTR, Wanted::Other),
            ("x.3.2.1.in-addr.arpa", PTR, Wanted::Other),
            ("web", 16, Wanted::Other),
            ("", A, Wanted::Other),
        ] {
            assert_eq!(
                question(&query(name, kind)).unwrap().wanted,
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_no_question_is_not_read() {
        let good = query("web", A);
        for length in 0..good.len() {
            assert_eq!(question(&good[..length]), None, "{length} bytes");
        }
        for (at, value) in [(2, 0x80), (2, 0x10), (5, 2), (5, 0), (12, 0xc0), (12, 64)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(question(&bad), None, "byte {at} is {value}");
        }
        let long = query(&["a23456789"; 30].join("."), A);
        assert_eq!(question(&long), None);
    }

    #[test]
    fn answers_repeat_the_question() {
        let query = query("web", A);
        let question = question(&query).unwrap();
        let mut edns = query.clone();
        edns.extend([0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]);
        let addresses = Answer::Addresses(vec![[10, 0, 0, 2].into(), "fd00::2".parse().unwrap()]);
        let mut expected = query.clone();
        expected[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0]);
        expected.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 0x58, 0, 4, 10, 0, 0, 2]);
        expected.extend([0xc0, 12, 0, 28, 0, 1, 0, 0, 2, 0x58, 0, 16, 0xfd]);
        expected.extend([0; 14]);
        expected.push(2);
        assert_eq!(respond(&edns, &question, &addresses, true), expected);
        let none = respond(&query, &question, &Answer::Addresses(Vec::new()), true);
        assert_eq!(
            (none.len(), &none[2..8]),
            (query.len(), &[0x81, 0x80, 0, 1, 0, 0][..])
        );
        let failure = respond(&query, &question, &Answer::Failure, true);
        assert_eq!(failure[3], 0x82);
        let name = respond(&query, &question, &Answer::Name("web.foo".into()), true);
        assert!(name.ends_with(b"\x03web\x03foo\0"), "{name:?}");
    }

    #[test]
    fn long_answers_are_cut_over_udp_only() {
        let query = query("web", A);
        let question = question(&query).unwrap();
        let many = Answer::Addresses((0..100).map(|n| [10, 0, 0, n].into()).collect());
        let cut = respond(&query, &question, &many, true);
        assert!(
            cut.len() <= 512 && cut[2] & 2 != 0 && cut[7] == 30,
            "{} {:?}",
            cut.len(),
            &cut[..12]
        );
        let whole = respond(&query, &question, &many, false);
        assert_eq!(
            (whole.len(), whole[2] & 2, whole[7]),
            (query.len() + 1600, 0, 100)
        );
    }

    #[test]
    fn answers_of_others_belong_to_their_query() {
        let query = query("web", A);
        let mut answer = query.clone();
        assert_eq!(is_answer(&query, &answer), None);
        answer[2] |= 0x80;
        assert_eq!(is_answer(&query, &answer), Some(false));
        answer[3] = 0x83;
        assert_eq!(is_answer(&query, &answer), Some(false));
        answer[3] = 0x85;
        assert_eq!(is_answer(&query, &answer), Some(true));
        answer[0] ^= 1;
        assert_eq!(is_answer(&query, &answer), None);
        assert_eq!(is_answer(&query, &[]), None);
    }
}
