//! What a link does with the bytes that pass it.

use std::time::Duration;

/// A direction, seen from the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the proxy to the server.
    Requests,
    /// From the server to the proxy.
    Answers,
}

/// How long pieces are held up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delay {
    /// Share of the pieces that are held up, 0 to 1.
    pub probability: f64,
    /// Shortest delay.
    pub least: Duration,
    /// Longest delay; the actual one is evenly distributed between the two.
    pub longest: Duration,
}

impl Delay {
    /// Everything passes at once.
    pub const NONE: Self = Self { probability: 0.0, least: Duration::ZERO, longest: Duration::ZERO };
}

/// How good a link is as long as it passes bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Delay of each piece, each way. Pieces behind each other are on their way at the same time, and stay in order.
    pub delay: Delay,
    /// Bytes that all connections of the link together get through in a second, each way.
    pub bytes_per_second: Option<u32>,
    /// Share of the pieces that are lost and sent again by TCP: they, and all behind them, come later.
    pub loss: f64,
}

impl Shape {
    /// A link of which nothing is to be noticed.
    pub const PLAIN: Self = Self { delay: Delay::NONE, bytes_per_second: None, loss: 0.0 };
}

/// Whether a link passes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// In both directions.
    Open,
    /// Holds them in both directions; connections stay up, and nothing is missing afterwards.
    Frozen,
    /// Holds them in this direction and passes those of the other one.
    HalfOpen(Way),
    /// Loses all bytes in both directions, the ends of connections too: nobody is told anything (no FIN, no RST). When
    /// the link is open again the proxy learns that such a connection is gone; the server does not for a long time.
    Dropped,
    /// Resets every connection, and each new one.
    Reset,
}

impl LinkState {
    /// True if bytes in that direction wait.
    pub(super) fn holds(self, way: Way) -> bool {
        match self {
            Self::Frozen => true,
            Self::HalfOpen(held) => held == way,
            Self::Open | Self::Dropped | Self::Reset => false,
        }
    }
}

/// All of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Conditions {
    pub(super) state: LinkState,
    pub(super) shape: Shape,
}
