//! The reaper, in a process of its own: it waits for every child there is.

use coracle_engine::Reaper;
use coracle_sys::spawn::{Command, Launcher};
use rustix::process::Pid;

fn shell(script: &str) -> Command {
    Command::new("/bin/sh").arg("-c").arg(script)
}

// One test, because a process has one reaper.
#[tokio::test(flavor = "multi_thread")]
async fn statuses_reach_their_owners_and_early_ones_are_kept() {
    let reaper = Reaper::start().unwrap();
    let children: Vec<_> = (0..20)
        .map(|code| reaper.spawn(&shell(&format!("exit {code}"))).unwrap())
        .collect();
    for (code, child) in children.into_iter().enumerate() {
        assert_eq!(child.exit.await.unwrap().code(), code as i64);
    }
    let killed = reaper.spawn(&shell("kill -9 $$")).unwrap();
    assert_eq!(killed.exit.await.unwrap().code(), 137);

    // The shell leaves a grandchild behind, which ends at once; its id is in a file.
    let file = tempfile::NamedTempFile::new().unwrap();
    let script = format!(
        "sh -c 'echo $$ >{0}.new; mv {0}.new {0}; exit 5' &",
        file.path().display()
    );
    let expecting = reaper.expect();
    reaper.spawn(&shell(&script)).unwrap().exit.await.unwrap();
    let pid = loop {
        let text = std::fs::read_to_string(file.path()).unwrap();
        match text.trim().parse().ok().and_then(Pid::from_raw) {
            Some(pid) => break pid,
            None => tokio::task::yield_now().await,
        }
    };
    let orphan = expecting.adopt(pid);
    assert_eq!(orphan.exit.await.unwrap().code(), 5);
    drop(expecting);

    let wait = reaper.launch(&shell("exit 3")).unwrap();
    let status = tokio::task::spawn_blocking(wait).await.unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(3));
}
