//! Thin, typed wrappers of the kernel and libc calls that rustix lacks.
//!
//! The only crate of the workspace with `unsafe`. Nothing here has policy: each function is one call, its argument
//! checks, and its error.

#![allow(unsafe_code)]

pub mod allocator;
pub mod bpf;
pub mod exec;
pub mod fd;
pub mod namespace;
pub mod seccomp;
pub mod signal;
pub mod spawn;
pub mod terminal;
