//! (filled by its first code)
