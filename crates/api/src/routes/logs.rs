//! `GET /containers/{name}/logs`

use std::io;

use bytes::BytesMut;
use coracle_engine::{LogQuery, Tail};
use futures_util::stream;
use jiff::Timestamp;

use crate::answer::Answer;
use crate::body;
use crate::call::Call;
use crate::error::{Error, Result};
use crate::frame::Framing;
use crate::query::Query;
use crate::render::log::LogFormat;

/// `GET /containers/{name}/logs`
pub async fn logs(call: Call) -> Result<Answer> {
    let wanted = wanted(&call.query)?;
    let (tty, log) = call
        .engine
        .logs(call.target(), wanted, call.query.flag("follow"))?;
    let framing = Framing::of(tty);
    let format = LogFormat {
        framing,
        timestamps: call.query.flag("timestamps"),
        details: call.query.flag("details"),
    };
    let pieces = stream::unfold(log, move |mut log| async move {
        let lines = log.recv().await?;
        let mut out = BytesMut::new();
        lines.iter().for_each(|line| format.put(&mut out, line));
        Some((io::Result::Ok(out.freeze()), log))
    });
    Ok(Answer::stream(
        framing.content_type(call.version),
        body::stream(pieces),
    ))
}

fn wanted(query: &Query) -> Result<LogQuery> {
    let (stdout, stderr) = (query.flag("stdout"), query.flag("stderr"));
    if !stdout && !stderr {
        return Err(Error::BadRequest(
            "Bad parameters: you must choose at least one stream".into(),
        ));
    }
    // `all`, and anything that is no number of lines, is everything (Docker).
    let tail = query
        .text("tail")
        .and_then(|text| text.parse().ok())
        .map_or(Tail::All, Tail::Last);
    Ok(LogQuery {
        since: query.time("since")?,
        // Zero is no end (Docker).
        until: query
            .time("until")?
            .filter(|until| *until != Timestamp::UNIX_EPOCH),
        tail,
        stdout,
        stderr,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_choose_lines() {
        let at = |seconds| Timestamp::new(seconds, 0).ok();
        for (text, expected) in [
            ("stdout=1", Ok((None, None, Tail::All, true, false))),
            (
                "stderr=1&tail=all",
                Ok((None, None, Tail::All, false, true)),
            ),
            (
                "stdout=1&stderr=1&tail=5",
                Ok((None, None, Tail::Last(5), true, true)),
            ),
            (
                "stdout=1&since=0&until=0",
                Ok((at(0), None, Tail::All, true, false)),
            ),
            ("stdout=1&tail=-1", Ok((None, None, Tail::All, true, false))),
            (
                "stdout=1&tail=0&until=1700000000",
                Ok((None, at(1_700_000_000), Tail::Last(0), true, false)),
            ),
            (
                "stdout=1&since=2023-11-14T22:13:20Z",
                Ok((at(1_700_000_000), None, Tail::All, true, false)),
            ),
            (
                "",
                Err("Bad parameters: you must choose at least one stream"),
            ),
        ] {
            let query = wanted(&Query::parse(text));
            let query = query.map(|q| (q.since, q.until, q.tail, q.stdout, q.stderr));
            assert_eq!(
                query.map_err(|error| error.to_string()),
                expected.map_err(str::to_owned),
                "{text}"
            );
        }
    }
}
