//! Exec instances: `GET /exec/{id}/json`.

use coracle_engine::ExecRequest;
use serde_json::{Value, json};

/// What changes about an exec.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Its process runs.
    pub running: bool,
    /// How it ended.
    pub exit_code: Option<i64>,
    /// Its process's id.
    pub pid: i32,
}

/// The whole object.
pub fn inspect(id: &str, container: &str, request: &ExecRequest, progress: Progress) -> Value {
    let (entrypoint, arguments) = request
        .command
        .split_first()
        .map_or(("", &[][..]), |(first, rest)| (first, rest));
    json!({
        "ID": id,
        "Running": progress.running,
        "ExitCode": progress.exit_code,
        "ProcessConfig": {
            "tty": request.tty,
            "entrypoint": entrypoint,
            "arguments": arguments,
            "privileged": request.privileged,
            "user": request.user.as_deref().unwrap_or_default(),
        },
        "OpenStdin": request.stdin,
        "OpenStderr": request.stderr,
        "OpenStdout": request.stdout,
        "CanRemove": false,
        "ContainerID": container,
        "DetachKeys": request.detach_keys,
        "Pid": progress.pid,
    })
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::ExecInspectResponse;

    use super::*;

    #[test]
    fn the_object_is_whole_and_fits_the_model() {
        let request = ExecRequest {
            command: vec!["ls".into(), "-l".into()],
            stdout: true,
            ..ExecRequest::default()
        };
        for exit_code in [None, Some(3)] {
            let value = inspect(
                "x",
                "abc",
                &request,
                Progress {
                    exit_code,
                    ..Progress::default()
                },
            );
            let model: ExecInspectResponse = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(model.exit_code, exit_code);
            assert_eq!(value["ProcessConfig"]["arguments"], json!(["-l"]));
            assert_eq!(value.as_object().unwrap().len(), 11);
        }
    }
}
