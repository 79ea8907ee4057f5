//! What the default profile that Docker publishes (moby/profiles, `seccomp/default.json`, May 2026) allows on amd64 to a
//! process with Docker's default capabilities: nothing else may be allowed here.

use std::collections::HashSet;

use oci_spec::runtime::{LinuxSeccompAction, LinuxSyscall};

use super::default_profile;
use crate::capabilities::default_set;

/// System calls that are allowed, some of them with conditions.
const ALLOWED: &str = "
    _llseek _newselect accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod
    chown chown32 chroot clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 clone close close_range connect copy_file_range creat dup
    dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old
    eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate
    fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr
    flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate
    ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list
    get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
    getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32
    getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32
    getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
    io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen
    listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack
    membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2
    modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
    mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
    name_to_handle_at nanosleep newfstatat open openat openat2 pause personality pidfd_open pidfd_send_signal pipe
    pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64
    process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2
    read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages
    removexattr removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction
    rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
    rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
    sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64
    send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid
    setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid
    setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid
    setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask
    sigreturn socket socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync
    sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
    timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime
    utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
";

/// Conditions, as `system call: argument operator value`; several of one call are alternatives.
const CONDITIONS: &[&str] = &[
    "clone: 0 SCMP_CMP_MASKED_EQ 2114060288 0",
    "personality: 0 SCMP_CMP_EQ 0",
    "personality: 0 SCMP_CMP_EQ 131072",
    "personality: 0 SCMP_CMP_EQ 131080",
    "personality: 0 SCMP_CMP_EQ 4294967295",
    "personality: 0 SCMP_CMP_EQ 8",
    "socket: 0 SCMP_CMP_EQ 39",
    "socket: 0 SCMP_CMP_GT 40",
    "socket: 0 SCMP_CMP_LT 38",
];

#[test]
fn nothing_is_allowed_that_dockers_profile_does_not_allow() {
    let profile = default_profile(&default_set());
    assert_eq!(profile.default_action(), LinuxSeccompAction::ScmpActErrno);
    let published: HashSet<&str> = ALLOWED.split_whitespace().collect();
    let rules = profile.syscalls().as_deref().unwrap_or_default();
    let (allow, other): (Vec<&LinuxSyscall>, Vec<_>) = rules
        .iter()
        .partition(|rule| rule.action() == LinuxSeccompAction::ScmpActAllow);
    let mut more: Vec<&str> = allow
        .iter()
        .flat_map(|rule| rule.names())
        .map(String::as_str)
        .filter(|name| !published.contains(name))
        .collect();
    more.sort_unstable();
    assert_eq!(more, [""; 0], "allowed beyond Docker's profile");
    assert!(
        other
            .iter()
            .all(|rule| rule.action() == LinuxSeccompAction::ScmpActErrno)
    );
}

#[test]
fn conditions_are_those_of_dockers_profile() {
    let profile = default_profile(&default_set());
    let mut found = Vec::new();
    for rule in profile.syscalls().iter().flatten() {
        for arg in rule.args().iter().flatten() {
            let second = arg.value_two().map(|two| format!(" {two}"));
            let op = serde_json::to_string(&arg.op()).unwrap();
            found.push(format!(
                "{}: {} {} {}{}",
                rule.names().join(" "),
                arg.index(),
                op.trim_matches('"'),
                arg.value(),
                second.unwrap_or_default()
            ));
        }
    }
    found.sort();
    assert_eq!(found, CONDITIONS);
}
