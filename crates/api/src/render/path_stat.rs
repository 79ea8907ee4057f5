//! The header `X-Docker-Container-Path-Stat` of the archive routes: base64 of JSON about a file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coracle_engine::PathStat;
use serde_json::json;

/// The header's value.
pub fn header(stat: &PathStat) -> String {
    let json = json!({
        "name": stat.name,
        "size": stat.size,
        "mode": stat.mode,
        "mtime": stat.modified,
        "linkTarget": stat.link_target,
    });
    STANDARD.encode(json.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_json_in_base64() {
        let stat = PathStat {
            name: "etc".into(),
            size: 5,
            mode: 0o644,
            modified: "1970-01-01T00:00:00Z".into(),
            link_target: String::new(),
        };
        let text = String::from_utf8(STANDARD.decode(header(&stat)).unwrap()).unwrap();
        assert_eq!(
            text,
            r#"{"name":"etc","size":5,"mode":420,"mtime":"1970-01-01T00:00:00Z","linkTarget":""}"#
        );
    }
}
