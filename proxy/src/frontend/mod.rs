//! How clients reach the proxy. Each protocol has a folder; nothing outside it knows its wire messages' start-up.

pub mod pg;
