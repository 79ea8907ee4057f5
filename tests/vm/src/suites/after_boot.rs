//! A machine as most users have it: one boot, and everything that can be seen in it.

use coracle_testkit::Forward;

use crate::check::{Check, Suite};
use crate::guest::Guest;

use super::{
    HOSTNAME, clock, compose, containers, fresh_state_disk, ros, survival, swarm, system,
    user_docker,
};

/// What the configuration volume wants dockerd to read.
const DAEMON_JSON: &str = r#"{"labels": ["from=write_files"]}"#;

pub const SUITE: Suite = Suite {
    name: "after-boot",
    machine: |builder| {
        let daemon = format!("{{path: /etc/docker/daemon.json, content: '{DAEMON_JSON}'}}");
        let user_data = format!("#cloud-config\nhostname: {HOSTNAME}\nwrite_files: [{daemon}]\n");
        Ok(fresh_state_disk(builder)?
            .user_data(user_data)
            .forward(Forward::to(8080)))
    },
    ready: Guest::ready,
    checks: &[
        Check {
            name: "boot_files_are_small",
            run: system::boot_files_are_small,
        },
        Check {
            name: "pid_1_is_coracle",
            run: system::pid_1_is_coracle,
        },
        Check {
            name: "every_service_is_a_container",
            run: system::every_service_is_a_container,
        },
        Check {
            name: "nothing_runs_outside_containers",
            run: system::nothing_runs_outside_containers,
        },
        Check {
            name: "system_docker_refuses_users",
            run: system::system_docker_refuses_users,
        },
        Check {
            name: "hostname_and_keys_come_from_the_config_volume",
            run: system::hostname_and_keys_come_from_the_config_volume,
        },
        Check {
            name: "docker_is_new",
            run: user_docker::docker_is_new,
        },
        Check {
            name: "docker_reads_what_write_files_wrote",
            run: user_docker::docker_reads_what_write_files_wrote,
        },
        Check {
            name: "services_after_docker_started_when_it_had_answered",
            run: user_docker::services_after_docker_started_when_it_had_answered,
        },
        Check {
            name: "docker_has_the_largest_share_only_until_it_answers",
            run: user_docker::docker_has_the_largest_share_only_until_it_answers,
        },
        Check {
            name: "clients_hear_why_docker_does_not_start",
            run: user_docker::clients_hear_why_docker_does_not_start,
        },
        Check {
            name: "run_prints_and_removes",
            run: user_docker::run_prints_and_removes,
        },
        Check {
            name: "run_on_a_terminal",
            run: user_docker::run_on_a_terminal,
        },
        Check {
            name: "published_port_answers_on_the_host",
            run: user_docker::published_port_answers_on_the_host,
        },
        Check {
            name: "volumes_are_the_consoles_files",
            run: user_docker::volumes_are_the_consoles_files,
        },
        Check {
            name: "two_service_file",
            run: compose::two_service_file,
        },
        Check {
            name: "version",
            run: ros::version,
        },
        Check {
            name: "os_version",
            run: ros::os_version,
        },
        Check {
            name: "service_list_and_ps",
            run: ros::service_list_and_ps,
        },
        Check {
            name: "service_logs",
            run: ros::service_logs,
        },
        Check {
            name: "service_stop_up_and_restart",
            run: ros::service_stop_up_and_restart,
        },
        Check {
            name: "boot_table_and_picture",
            run: ros::boot_table_and_picture,
        },
        Check {
            name: "limits_reach_the_kernel",
            run: containers::limits_reach_the_kernel,
        },
        Check {
            name: "updates_reach_a_running_container",
            run: containers::updates_reach_a_running_container,
        },
        Check {
            name: "running_out_of_memory_is_told",
            run: containers::running_out_of_memory_is_told,
        },
        Check {
            name: "devices_are_those_that_were_given",
            run: containers::devices_are_those_that_were_given,
        },
        Check {
            name: "frozen_containers_do_not_run",
            run: containers::frozen_containers_do_not_run,
        },
        Check {
            name: "syslog_has_what_containers_log",
            run: containers::syslog_has_what_containers_log,
        },
        Check {
            name: "networks_work_beside_user_docker",
            run: containers::networks_work_beside_user_docker,
        },
        Check {
            name: "networks_sit_on_the_machines_interface",
            run: containers::networks_sit_on_the_machines_interface,
        },
        Check {
            name: "a_clock_that_is_years_off_is_set",
            run: clock::a_clock_that_is_years_off_is_set,
        },
        Check {
            name: "a_node_of_a_swarm_serves_and_starts_again",
            run: swarm::a_node_of_a_swarm_serves_and_starts_again,
        },
        Check {
            name: "removing_all_user_containers",
            run: survival::removing_all_user_containers,
        },
        Check {
            name: "pruning_user_docker",
            run: survival::pruning_user_docker,
        },
        Check {
            name: "privileged_container_with_the_host",
            run: survival::privileged_container_with_the_host,
        },
        Check {
            name: "killed_services_come_back",
            run: survival::killed_services_come_back,
        },
        Check {
            name: "user_docker_restart_keeps_user_containers",
            run: survival::user_docker_restart_keeps_user_containers,
        },
        Check {
            name: "console_restart_keeps_user_containers",
            run: survival::console_restart_keeps_user_containers,
        },
        Check {
            name: "full_disk_takes_nothing_down",
            run: survival::full_disk_takes_nothing_down,
        },
    ],
};
