//! Profiles in Docker's JSON format, as `--security-opt seccomp=FILE` gives them.

use oci_spec::runtime::{
    Arch, Capabilities, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSyscall,
};
use serde::Deserialize;

use crate::{Error, capabilities};

/// The architecture that this program runs on, in Docker's and in libseccomp's words.
const ARCHITECTURE: (&str, Arch) = ("amd64", Arch::ScmpArchX86_64);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Profile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Vec<Arch>,
    #[serde(default)]
    arch_map: Option<Vec<ArchMap>>,
    #[serde(default)]
    flags: Vec<LinuxSeccompFilterFlag>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArchMap {
    architecture: Arch,
    #[serde(default)]
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Condition>>,
    #[serde(default)]
    #[allow(dead_code, reason = "documentation of the profile's author")]
    comment: String,
    #[serde(default)]
    includes: Filter,
    #[serde(default)]
    excludes: Filter,
}

/// `valueTwo` is 0 in Docker's files where it has no meaning.
type Condition = LinuxSeccompArg;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: Option<String>,
}

/// A profile in Docker's JSON format (`--security-opt seccomp=FILE`), resolved for the bounding set `capabilities`.
///
/// # Errors
/// [`Error::Seccomp`] says what is wrong and where.
pub fn parse(json: &str, capabilities: &Capabilities) -> Result<LinuxSeccomp, Error> {
    let profile: Profile =
        serde_json::from_str(json).map_err(|error| Error::Seccomp(error.to_string()))?;
    if profile.listener_path.is_some() || profile.listener_metadata.is_some() {
        return Err(Error::Seccomp(
            "listenerPath and listenerMetadata are not supported".to_owned(),
        ));
    }
    let architectures = match (profile.architectures, profile.arch_map) {
        (list, Some(map)) if !list.is_empty() && !map.is_empty() => {
            return Err(Error::Seccomp(
                "both 'architectures' and 'archMap' are given: use one".to_owned(),
            ));
        }
        (list, None) => list,
        (list, Some(map)) => map
            .into_iter()
            .find(|entry| entry.architecture == ARCHITECTURE.1)
            .map(|entry| {
                [
                    vec![entry.architecture],
                    entry.sub_architectures.unwrap_or_default(),
                ]
                .concat()
            })
            .unwrap_or(list),
    };
    let kernel = rustix::system::uname();
    let kernel = kernel.release().to_str().unwrap_or_default();
    let mut rules = Vec::new();
    for (index, rule) in profile.syscalls.into_iter().flatten().enumerate() {
        let applies = rule
            .applies(capabilities, kernel)
            .map_err(|m| Error::Seccomp(format!("syscalls[{index}]: {m}")))?;
        if applies {
            rules.push(
                rule.resolved()
                    .map_err(|m| Error::Seccomp(format!("syscalls[{index}]: {m}")))?,
            );
        }
    }
    let mut resolved = LinuxSeccomp::default();
    resolved
        .set_default_action(profile.default_action)
        .set_default_errno_ret(profile.default_errno_ret)
        .set_architectures((!architectures.is_empty()).then_some(architectures))
        .set_flags((!profile.flags.is_empty()).then_some(profile.flags))
        .set_syscalls(Some(rules));
    Ok(resolved)
}

impl Rule {
    /// Whether all that `includes` asks is there, and nothing that `excludes` names.
    fn applies(&self, capabilities: &Capabilities, kernel: &str) -> Result<bool, String> {
        let has = |name: &String| {
            let known = capabilities::by_name(&name.to_uppercase());
            known
                .map(|c| capabilities.contains(&c))
                .ok_or_else(|| format!("unknown capability {name}"))
        };
        let caps = |filter: &Filter| filter.caps.iter().map(has).collect::<Result<Vec<_>, _>>();
        let here = |filter: &Filter| filter.arches.iter().any(|arch| arch == ARCHITECTURE.0);
        let new_enough = |filter: &Filter| {
            let minimum = filter.min_kernel.as_deref();
            minimum.map(|text| {
                version(text)
                    .map(|v| version(kernel) >= Some(v))
                    .ok_or_else(|| format!("minKernel {text}"))
            })
        };
        let included = caps(&self.includes)?.into_iter().all(|has| has)
            && (self.includes.arches.is_empty() || here(&self.includes))
            && new_enough(&self.includes).transpose()?.unwrap_or(true);
        let excluded = caps(&self.excludes)?.into_iter().any(|has| has)
            || here(&self.excludes)
            || new_enough(&self.excludes).transpose()?.unwrap_or(false);
        Ok(included && !excluded)
    }

    fn resolved(self) -> Result<LinuxSyscall, String> {
        let names = match (self.name.is_empty(), self.names.is_empty()) {
            (false, true) => vec![self.name],
            (true, false) => self.names,
            (false, false) => return Err("both 'name' and 'names' are given: use one".to_owned()),
            (true, true) => return Err("no names".to_owned()),
        };
        let mut rule = LinuxSyscall::default();
        rule.set_names(names)
            .set_action(self.action)
            .set_errno_ret(self.errno_ret)
            .set_args(self.args.filter(|args| !args.is_empty()));
        Ok(rule)
    }
}

/// Major and minor number of `6.12.3-x`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Capability;

    use super::*;

    #[test]
    fn a_profile_is_resolved_for_this_machine_and_these_capabilities() {
        let json = r#"{
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
            "archMap": [
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
                {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}
            ],
            "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
                {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_CHOWN"]}},
                {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_CHOWN"]}},
                {"names": ["arm_x"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm"]}},
                {"names": ["x_only"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
                {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
                {"names": ["future"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.1"}},
                {"name": "personality", "action": "SCMP_ACT_ERRNO", "errnoRet": 38,
                 "args": [{"index": 0, "value": 8, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]}
            ]
        }"#;
        let profile = parse(json, &[Capability::Chown].into()).unwrap();
        assert_eq!(
            profile.architectures(),
            &Some(vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86])
        );
        let rules = profile.syscalls().as_ref().unwrap();
        let names: Vec<_> = rules.iter().map(|rule| rule.names().join(" ")).collect();
        assert_eq!(names, ["read", "chroot", "x_only", "ptrace", "personality"]);
        assert_eq!(rules[4].errno_ret(), Some(38));
        assert_eq!(rules[4].args().as_ref().unwrap()[0].value(), 8);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (json, message) in [
            (
                "{",
                "seccomp profile: EOF while parsing an object at line 1 column 1",
            ),
            (
                r#"{"syscalls": []}"#,
                "seccomp profile: missing field `defaultAction` at line 1 column 16",
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_KILL"}]}"#,
                "seccomp profile: syscalls[0]: no names",
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["x"], "action": "SCMP_ACT_KILL",
                    "includes": {"caps": ["CAP_FLY"]}}]}"#,
                "seccomp profile: syscalls[0]: unknown capability CAP_FLY",
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
                    "archMap": [{"architecture": "SCMP_ARCH_X86"}]}"#,
                "seccomp profile: both 'architectures' and 'archMap' are given: use one",
            ),
        ] {
            assert_eq!(
                parse(json, &Capabilities::new()).unwrap_err().to_string(),
                message
            );
        }
    }
}
