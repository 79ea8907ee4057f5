//! The sessions, by subject.

mod api;
mod commit;
mod copy;
mod crash;
mod create;
mod docker_py;
mod events;
mod exec;
mod extensions;
mod health;
mod images;
mod init;
mod inspect;
mod isolation;
mod lifecycle;
mod logs;
mod networks;
mod prune;
mod registry;
mod reload;
mod restart;
mod run;
mod terminal;
mod volumes;
