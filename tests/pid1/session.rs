//! Sessions: commands with what they must print.

use coracle_testkit::transcript::{mask, squeeze};

use crate::host::Host;

impl Host {
    /// Runs the commands of `script`, each a line that begins with `$ `, and compares the whole: after each command follows
    /// what it prints (both streams, masked), and `[N]` when its exit code is not 0. Columns are separated by two spaces:
    /// the client pads them by the width of ids and times.
    #[track_caller]
    pub fn session(&self, script: &str) {
        let script = script.trim_start_matches('\n');
        let mut transcript = String::new();
        for command in script.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let (output, code) = self.shell(command);
            transcript.push_str(&format!("$ {command}\n"));
            for line in mask(&output.replace(['\r', '\0'], "").replace("^@", "")).lines() {
                transcript.push_str(&squeeze(line));
                transcript.push('\n');
            }
            if code != 0 {
                transcript.push_str(&format!("[{code}]\n"));
            }
        }
        if transcript != script {
            eprintln!("--- expected:\n{script}\n--- got:\n{transcript}");
            panic!("the session differs");
        }
    }
}
