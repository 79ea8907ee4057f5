//! The system calls of the default profile, by what they are for.

use oci_spec::runtime::Capability;

/// Allowed to everybody. A name that an architecture does not have is skipped there.
pub const ALWAYS: &str = "
    execve execveat exit exit_group fork vfork wait4 waitid waitpid kill tkill tgkill pidfd_open pidfd_send_signal
    process_mrelease ptrace process_vm_readv process_vm_writev restart_syscall prctl arch_prctl modify_ldt
    set_tid_address set_thread_area get_thread_area set_robust_list get_robust_list rseq membarrier map_shadow_stack
    uretprobe seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self

    getpid getppid gettid getpgid getpgrp getsid setpgid setsid getuid getuid32 geteuid geteuid32 getgid getgid32
    getegid getegid32 getresuid getresuid32 getresgid getresgid32 setuid setuid32 setgid setgid32 setreuid setreuid32
    setregid setregid32 setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 getgroups
    getgroups32 setgroups setgroups32 capget capset getrlimit ugetrlimit setrlimit prlimit64 getrusage times
    getpriority setpriority ioprio_get ioprio_set umask uname sysinfo getcpu getrandom

    sched_yield sched_getparam sched_setparam sched_getscheduler sched_setscheduler sched_getattr sched_setattr
    sched_getaffinity sched_setaffinity sched_get_priority_max sched_get_priority_min sched_rr_get_interval
    sched_rr_get_interval_time64

    brk mmap mmap2 munmap mremap mprotect madvise mincore msync mlock mlock2 mlockall munlock munlockall mseal
    remap_file_pages memfd_create memfd_secret pkey_alloc pkey_free pkey_mprotect

    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_tgsigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 sigaltstack sigprocmask sigreturn signalfd signalfd4 pause alarm

    futex futex_time64 futex_wait futex_waitv futex_wake futex_requeue eventfd eventfd2 poll ppoll ppoll_time64
    select _newselect pselect6 pselect6_time64 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait
    epoll_wait_old epoll_pwait epoll_pwait2 inotify_init inotify_init1 inotify_add_watch inotify_rm_watch
    fanotify_mark

    time gettimeofday clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
    clock_nanosleep_time64 nanosleep adjtimex clock_adjtime clock_adjtime64 getitimer setitimer timer_create
    timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
    timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64

    open openat openat2 creat close close_range read readv pread64 preadv preadv2 write writev pwrite64 pwritev
    pwritev2 lseek _llseek dup dup2 dup3 pipe pipe2 fcntl fcntl64 ioctl flock readahead fadvise64 fadvise64_64
    fallocate truncate truncate64 ftruncate ftruncate64 sync syncfs fsync fdatasync sync_file_range sendfile sendfile64
    splice tee vmsplice copy_file_range cachestat io_setup io_submit io_cancel io_getevents io_pgetevents
    io_pgetevents_time64 io_destroy

    access faccessat faccessat2 chdir fchdir getcwd chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32
    fchownat lchown lchown32 stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat statx statfs statfs64
    fstatfs fstatfs64 statmount listmount name_to_handle_at mkdir mkdirat rmdir mknod mknodat link linkat unlink
    unlinkat symlink symlinkat readlink readlinkat rename renameat renameat2 getdents getdents64 utime utimes futimesat
    utimensat utimensat_time64 getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat
    listxattr llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat

    socketpair socketcall bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt
    send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64

    ipc shmget shmat shmdt shmctl semget semop semtimedop semtimedop_time64 semctl msgget msgsnd msgrcv msgctl mq_open
    mq_unlink mq_notify mq_getsetattr mq_timedsend mq_timedsend_time64 mq_timedreceive mq_timedreceive_time64
";

/// Allowed to those who may use what they do anyway.
pub const WITH_CAPABILITY: &[(Capability, &str)] = &[
    (Capability::DacReadSearch, "open_by_handle_at"),
    (
        Capability::SysAdmin,
        "mount mount_setattr move_mount umount umount2 open_tree fsopen fsconfig fsmount fspick unshare setns clone \
         clone3 sethostname setdomainname bpf perf_event_open fanotify_init lookup_dcookie quotactl quotactl_fd syslog \
         lsm_get_self_attr lsm_list_modules lsm_set_self_attr",
    ),
    (Capability::SysBoot, "reboot"),
    (Capability::SysChroot, "chroot"),
    (
        Capability::SysModule,
        "init_module finit_module delete_module",
    ),
    (Capability::SysPacct, "acct"),
    (Capability::SysPtrace, "kcmp pidfd_getfd process_madvise"),
    (Capability::SysRawio, "iopl ioperm"),
    (
        Capability::SysTime,
        "settimeofday stime clock_settime clock_settime64",
    ),
    (Capability::SysTtyConfig, "vhangup"),
    (
        Capability::SysNice,
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    ),
    (Capability::Syslog, "syslog"),
    (Capability::Bpf, "bpf"),
    (Capability::Perfmon, "perf_event_open"),
];
