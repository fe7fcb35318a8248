//! Members of a virtual database. Each kind has a folder; nothing outside it knows its driver.

pub mod pg;
