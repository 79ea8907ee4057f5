//! System call filters as the kernel takes them.
//!
//! libseccomp needs longer for a profile of Docker's size than all other steps of an exec together, and most containers have the same
//! one. So a compiled filter is kept beside the containers' state, and every container that has it links to it.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use coracle_sys::seccomp::{self, Instruction};
use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator, LinuxSyscall,
};

/// Below the state directory: compiled filters, under a hash of their profiles.
pub(crate) const FILTERS: &str = ".filters";
/// `EPERM`, for actions that do not say which error they answer.
const DEFAULT_ERROR: u32 = 1;

/// A compiled filter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Filter {
    flags: u32,
    program: Vec<Instruction>,
}

impl Filter {
    /// Installs it for this process and what it executes.
    ///
    /// # Errors
    /// Without `no_new_privs` and without `CAP_SYS_ADMIN`.
    pub fn install(&self) -> io::Result<()> {
        seccomp::install(&self.program, self.flags)
    }

    /// The filter that [`place`] has put at `path`.
    ///
    /// # Errors
    /// When it is not there, or damaged.
    pub fn read(path: &Path) -> io::Result<Self> {
        let bytes = fs::read(path)?;
        decode(&bytes)
            .map(|(_, filter)| filter)
            .ok_or_else(|| io::Error::other("no compiled filter"))
    }
}

/// Puts the filter of `profile` at `path`, compiled now or earlier, and gives it. `root` is the runtime's state directory.
///
/// # Errors
/// What cannot be expressed, in words; and when the files cannot be written.
pub fn place(profile: &LinuxSeccomp, root: &Path, path: &Path) -> Result<Filter, String> {
    let key = serde_json::to_vec(profile).map_err(|error| error.to_string())?;
    let directory = root.join(FILTERS);
    let kept = kept_at(&directory, &key);
    let failed = |error: io::Error| format!("keep {}: {error}", kept.display());
    let bytes = fs::read(&kept).unwrap_or_default();
    match decode(&bytes) {
        // Other profiles may have the same hash.
        Some((profile, filter)) if profile == key => {
            fs::hard_link(&kept, path).map_err(failed)?;
            Ok(filter)
        }
        _ => {
            let filter = compile(profile)?;
            fs::write(path, encode(&key, &filter))
                .map_err(|error| format!("write {}: {error}", path.display()))?;
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&directory)
                .map_err(failed)?;
            // The first one stays. Replaced, it could not be linked to by a helper that has just found it (link(2), ENOENT).
            match fs::hard_link(path, &kept) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
                _ => Ok(filter),
            }
        }
    }
}

fn kept_at(directory: &Path, key: &[u8]) -> PathBuf {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
    directory.join(format!("{hash:016x}"))
}

/// Flags, length of the profile, profile, instructions; numbers of 4 bytes as the machine has them.
fn encode(profile: &[u8], filter: &Filter) -> Vec<u8> {
    let length = u32::try_from(profile.len()).unwrap_or(u32::MAX);
    let mut bytes = [filter.flags.to_ne_bytes(), length.to_ne_bytes()].concat();
    bytes.extend(profile);
    bytes.extend(filter.program.iter().flat_map(Instruction::to_bytes));
    bytes
}

fn decode(bytes: &[u8]) -> Option<(&[u8], Filter)> {
    let (flags, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
    let (profile, program) = rest.split_at_checked(length)?;
    let filter = Filter {
        flags: u32::from_ne_bytes(*flags),
        program: instructions(program)?,
    };
    Some((profile, filter))
}

fn instructions(bytes: &[u8]) -> Option<Vec<Instruction>> {
    let (whole, []) = bytes.as_chunks() else {
        return None;
    };
    (!whole.is_empty()).then(|| whole.iter().map(Instruction::from_bytes).collect())
}

/// A profile as instructions, by libseccomp.
fn compile(profile: &LinuxSeccomp) -> Result<Filter, String> {
    let failed = |error: libseccomp::error::SeccompError| error.to_string();
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let mut context = ScmpFilterContext::new(default).map_err(failed)?;
    for arch in profile.architectures().iter().flatten() {
        context.add_arch(architecture(*arch)?).map_err(failed)?;
    }
    for rule in profile.syscalls().iter().flatten() {
        let action = action(rule.action(), rule.errno_ret())?;
        // libseccomp refuses rules that change nothing.
        if action != default {
            add(&mut context, rule, action)?;
        }
    }
    let mut program = newest_known(profile)
        .map(|number| seccomp::answer_enosys_above(number).to_vec())
        .unwrap_or_default();
    program.extend(exported(&context).map_err(|error| format!("export: {error}"))?);
    Ok(Filter {
        flags: flags(profile),
        program,
    })
}

fn add(
    context: &mut ScmpFilterContext,
    rule: &LinuxSyscall,
    action: ScmpAction,
) -> Result<(), String> {
    let conditions: Vec<ScmpArgCompare> = rule.args().iter().flatten().map(condition).collect();
    let mut arguments = HashSet::new();
    let all_differ = rule
        .args()
        .iter()
        .flatten()
        .all(|arg| arguments.insert(arg.index()));
    // Conditions on one argument cannot be in one rule; as several rules one of them is enough (runc does the same).
    let groups: Vec<&[ScmpArgCompare]> = if all_differ {
        vec![&conditions]
    } else {
        conditions.chunks(1).collect()
    };
    for name in rule.names() {
        // One that this libseccomp does not know is no number either.
        let Ok(call) = ScmpSyscall::from_name(name) else {
            continue;
        };
        for group in &groups {
            context
                .add_rule_conditional(action, call, group)
                .map_err(|error| format!("rule for {name}: {error}"))?;
        }
    }
    Ok(())
}

fn exported(context: &ScmpFilterContext) -> io::Result<Vec<Instruction>> {
    let mut file = File::from(rustix::fs::memfd_create(
        "filter",
        rustix::fs::MemfdFlags::CLOEXEC,
    )?);
    context.export_bpf(&file).map_err(io::Error::other)?;
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    instructions(&bytes).ok_or_else(|| io::Error::other("no whole instructions"))
}

/// The highest number of a system call that `profile` names.
///
/// Programs probe for new system calls and understand `ENOSYS`, not the `EPERM` of a filter that has never heard of
/// them. Only for profiles whose default is an error number: any other default is meant.
fn newest_known(profile: &LinuxSeccomp) -> Option<u32> {
    if profile.default_action() != LinuxSeccompAction::ScmpActErrno {
        return None;
    }
    let names = profile
        .syscalls()
        .iter()
        .flatten()
        .flat_map(|rule| rule.names());
    let numbers = names.filter_map(|name| ScmpSyscall::from_name(name).ok());
    numbers
        .filter_map(|call| u32::try_from(i32::from(call)).ok())
        .max()
}

fn flags(profile: &LinuxSeccomp) -> u32 {
    let number = |flag: &LinuxSeccompFilterFlag| match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => seccomp::FLAG_TSYNC,
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => seccomp::FLAG_LOG,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => seccomp::FLAG_SPEC_ALLOW,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {
            seccomp::FLAG_WAIT_KILLABLE_RECV
        }
    };
    profile
        .flags()
        .iter()
        .flatten()
        .fold(0, |all, flag| all | number(flag))
}

fn action(action: LinuxSeccompAction, error: Option<u32>) -> Result<ScmpAction, String> {
    use LinuxSeccompAction as Action;
    let error = error.unwrap_or(DEFAULT_ERROR);
    let out_of_range = |_| format!("error number {error} is too large");
    Ok(match action {
        Action::ScmpActKill | Action::ScmpActKillThread => ScmpAction::KillThread,
        Action::ScmpActKillProcess => ScmpAction::KillProcess,
        Action::ScmpActTrap => ScmpAction::Trap,
        Action::ScmpActErrno => ScmpAction::Errno(error.try_into().map_err(out_of_range)?),
        Action::ScmpActTrace => ScmpAction::Trace(error.try_into().map_err(out_of_range)?),
        Action::ScmpActLog => ScmpAction::Log,
        Action::ScmpActAllow => ScmpAction::Allow,
        Action::ScmpActNotify => return Err("SCMP_ACT_NOTIFY is not supported".to_owned()),
    })
}

fn condition(arg: &LinuxSeccompArg) -> ScmpArgCompare {
    use LinuxSeccompOperator as Operator;
    let operator = match arg.op() {
        Operator::ScmpCmpNe => ScmpCompareOp::NotEqual,
        Operator::ScmpCmpLt => ScmpCompareOp::Less,
        Operator::ScmpCmpLe => ScmpCompareOp::LessOrEqual,
        Operator::ScmpCmpEq => ScmpCompareOp::Equal,
        Operator::ScmpCmpGe => ScmpCompareOp::GreaterEqual,
        Operator::ScmpCmpGt => ScmpCompareOp::Greater,
        // Docker writes the mask first.
        Operator::ScmpCmpMaskedEq => {
            return ScmpArgCompare::new(
                argument(arg),
                ScmpCompareOp::MaskedEqual(arg.value()),
                arg.value_two().unwrap_or(0),
            );
        }
    };
    ScmpArgCompare::new(argument(arg), operator, arg.value())
}

fn argument(arg: &LinuxSeccompArg) -> u32 {
    // The kernel has six; libseccomp refuses what is no argument.
    u32::try_from(arg.index()).unwrap_or(u32::MAX)
}

fn architecture(arch: Arch) -> Result<ScmpArch, String> {
    // Both use libseccomp's names.
    let name = arch.to_string();
    name.parse()
        .map_err(|error| format!("architecture {name}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use oci_spec::runtime::Capability;

    use super::*;
    use crate::capabilities;
    use crate::seccomp::{default_profile, parse_profile};

    #[test]
    fn a_filter_is_compiled_once_and_linked() {
        let root = tempfile::tempdir().unwrap();
        let (one, two, other) = (
            root.path().join("one"),
            root.path().join("two"),
            root.path().join("other"),
        );
        let profile = default_profile(&capabilities::default_set());
        let filter = place(&profile, root.path(), &one).unwrap();
        assert_eq!(place(&profile, root.path(), &two).unwrap(), filter);
        assert_eq!(filter, compile(&profile).unwrap());
        assert_eq!(Filter::read(&two).unwrap(), filter);
        let node = |path: &Path| fs::metadata(path).unwrap().ino();
        assert_eq!(node(&one), node(&two));
        let mut more = capabilities::default_set();
        more.insert(Capability::SysAdmin);
        let opened = place(&default_profile(&more), root.path(), &other).unwrap();
        assert_ne!(opened, filter);
        assert_ne!(node(&one), node(&other));
    }

    #[test]
    fn containers_that_start_at_once_all_get_their_filter() {
        let profile = default_profile(&capabilities::default_set());
        let filter = compile(&profile).unwrap();
        for _ in 0..5 {
            let root = tempfile::tempdir().unwrap();
            std::thread::scope(|scope| {
                for number in 0..16 {
                    let path = root.path().join(number.to_string());
                    scope.spawn(|| {
                        let path = path;
                        assert_eq!(place(&profile, root.path(), &path).as_ref(), Ok(&filter));
                    });
                }
            });
        }
    }

    #[test]
    fn a_kept_filter_of_another_profile_or_a_damaged_one_is_not_used() {
        let root = tempfile::tempdir().unwrap();
        let profile = default_profile(&capabilities::default_set());
        let key = serde_json::to_vec(&profile).unwrap();
        let filter = compile(&profile).unwrap();
        let allow_all = Filter {
            flags: 0,
            program: seccomp::answer_enosys_above(500).to_vec(),
        };
        let directory = root.path().join(FILTERS);
        fs::create_dir(&directory).unwrap();
        for (number, content) in [
            encode(b"another profile", &allow_all),
            encode(&key, &filter)[..key.len() + 21].to_vec(),
            b"x".to_vec(),
        ]
        .into_iter()
        .enumerate()
        {
            fs::write(kept_at(&directory, &key), content).unwrap();
            let path = root.path().join(number.to_string());
            assert_eq!(place(&profile, root.path(), &path).unwrap(), filter);
            assert_eq!(Filter::read(&path).unwrap(), filter);
        }
        let missing = Filter::read(&root.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_cannot_be_expressed_is_refused() {
        let parse = |json: &str| parse_profile(json, &capabilities::default_set()).unwrap();
        for (json, expected) in [
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_NOTIFY"}]}"#,
                "SCMP_ACT_NOTIFY is not supported",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_TRACE","defaultErrnoRet":70000}"#,
                "error number 70000 is too large",
            ),
        ] {
            assert_eq!(compile(&parse(json)).unwrap_err(), expected);
        }
    }

    #[test]
    fn flags_and_every_architecture_are_understood() {
        let json = r#"{"defaultAction":"SCMP_ACT_ALLOW",
            "architectures":["SCMP_ARCH_NATIVE","SCMP_ARCH_X86","SCMP_ARCH_X86_64","SCMP_ARCH_X32","SCMP_ARCH_AARCH64","SCMP_ARCH_MIPS64N32"],
            "flags":["SECCOMP_FILTER_FLAG_TSYNC","SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW"]}"#;
        let profile = parse_profile(json, &capabilities::default_set()).unwrap();
        for arch in profile.architectures().iter().flatten() {
            architecture(*arch).unwrap();
        }
        assert_eq!(flags(&profile), 7);
    }
}
