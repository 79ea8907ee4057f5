//! Sessions: commands with what they must print.

use crate::host::Host;
use crate::mask::mask;

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

/// Runs of spaces inside a line become two, those at its end none.
fn squeeze(line: &str) -> String {
    let mut out = String::new();
    let mut spaces = 0;
    for character in line.chars() {
        if character == ' ' {
            spaces += 1;
            continue;
        }
        if spaces > 0 {
            let indent = out.is_empty();
            out.push_str(&" ".repeat(if indent { spaces } else { spaces.min(2) }));
            spaces = 0;
        }
        out.push(character);
    }
    out
}
