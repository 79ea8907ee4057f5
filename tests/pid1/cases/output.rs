//! Much output, read by clients of different speed.
//!
//! `CORACLE_OUTPUT_MB=1000 cargo test -p coracle --test pid1 much_output -- --nocapture` writes more.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use crate::host::Host;
use crate::random::given;

/// What the engine may need more than before, KiB (SPECIFICATION.md).
const GROWTH: u64 = 8 << 10;
/// How often the engine's memory is looked at.
const LOOKS: u64 = 20;

#[test]
fn much_output_reaches_slow_and_quick_clients_whole_and_stays_out_of_memory() {
    let megabytes = given("CORACLE_OUTPUT_MB", 24);
    let Some(host) = Host::start() else { return };
    // Lines of ten bytes.
    let lines = megabytes * 100_000;
    let command = format!(
        "docker create --name talks --log-opt max-size=10m busybox seq -w 100000000 {} >/dev/null",
        100_000_000 + lines - 1
    );
    assert_eq!(host.shell(&command), (String::new(), 0));
    let before = memory(&host);
    let socket = host.socket();
    let (progress, looks) = mpsc::channel();
    // Attached before the start, so that both see the first byte.
    let quick = attach(&socket).expect("attach");
    let slow = attach(&socket).expect("attach");
    let most = thread::scope(|scope| {
        let quick = scope.spawn(move || {
            follow(BufReader::with_capacity(1 << 20, quick), lines, |line| {
                if line % (lines / LOOKS) == 0 {
                    // The other end is there until all have ended.
                    let _ = progress.send(());
                }
            })
        });
        // A few lines with each call, and nothing in between: the container waits for it.
        let slow = scope.spawn(move || follow(BufReader::with_capacity(61, slow), lines, |_| ()));
        assert_eq!(host.shell("docker start talks"), ("talks\n".into(), 0));
        let most = looks.iter().map(|()| memory(&host)).max();
        quick
            .join()
            .expect("no panic")
            .expect("every line, in order");
        slow.join()
            .expect("no panic")
            .expect("every line, in order");
        most.expect("some looks")
    });
    println!("PID 1: {before} KiB before, at most {most} KiB with {megabytes} MB of output");
    assert!(
        most < before + GROWTH,
        "{before} KiB before, {most} KiB at most"
    );
    let last = format!("{}\n", 100_000_000 + lines - 1);
    assert_eq!(
        host.shell("docker wait talks; docker logs -n 1 talks"),
        (format!("0\n{last}"), 0)
    );
    assert_eq!(host.check(), "");
}

/// Its own memory, KiB (proc_pid_smaps(5)); that of the program file is shared with whoever else runs it.
fn memory(host: &Host) -> u64 {
    let path = format!("/proc/{}/smaps_rollup", host.pid().as_raw_nonzero());
    let text = fs::read_to_string(path).expect("the engine runs");
    let line = text.lines().find_map(|line| line.strip_prefix("Pss_Anon:"));
    let value = line.expect("a line").trim().trim_end_matches(" kB");
    value.parse().expect("a number")
}

fn attach(socket: &Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(
        b"POST /containers/talks/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: d\r\n\r\n",
    )?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    Ok(stream)
}

/// Reads the multiplexed stream to its end; it must be exactly the lines.
fn follow(mut stream: impl BufRead, lines: u64, mut seen: impl FnMut(u64)) -> io::Result<()> {
    let mut expected = *b"100000000\n";
    let (mut line, mut at) = (0, 0);
    loop {
        let mut header = [0; 8];
        match stream.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            result => result?,
        }
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let mut left = usize::try_from(length).expect("fits");
        while left > 0 {
            let part = stream.fill_buf()?;
            let count = part.len().min(left).min(expected.len() - at);
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if part[..count] != expected[at..at + count] {
                let found = String::from_utf8_lossy(&part[..count]).into_owned();
                return Err(io::Error::other(format!("{found:?} in line {line}")));
            }
            stream.consume(count);
            left -= count;
            at += count;
            if at == expected.len() {
                at = 0;
                line += 1;
                increment(&mut expected[..9]);
                seen(line);
            }
        }
    }
    match (line, at) == (lines, 0) {
        true => Ok(()),
        false => Err(io::Error::other(format!("{line} of {lines} lines"))),
    }
}

/// Counts on in decimal digits.
fn increment(digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
}
