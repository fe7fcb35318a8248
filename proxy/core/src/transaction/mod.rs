//! State machines of one transaction.

pub mod cycles;
pub mod follower;
pub mod overtaking;
