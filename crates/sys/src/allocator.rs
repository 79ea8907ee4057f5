//! What malloc(3) keeps.

use std::io;

/// Lets all threads share so many arenas (mallopt(3), `M_ARENA_MAX`); the default is eight for each processor. An arena gives back
/// only what is free at its end. Call it before there is a second thread.
///
/// # Errors
/// When the C library refuses.
pub fn limit_arenas(count: u16) -> io::Result<()> {
    // SAFETY: it takes two numbers, and touches nothing but the allocator's settings, which no other thread reads yet.
    match unsafe { libc::mallopt(libc::M_ARENA_MAX, count.into()) } {
        0 => Err(io::ErrorKind::InvalidInput.into()),
        _ => Ok(()),
    }
}
