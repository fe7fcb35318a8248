//! Named places at which a test makes the proxy crash, lose connections, wait, or find its disk full.
//!
//! Without the cargo feature `fault-points` every call here is an empty function, and nothing reads the environment. With it, a
//! process takes its plan from `RAIDB_FAULT` (see `plan`). All places are listed once, in [`FaultPoint`], and
//! `raidb fault-points` prints them: a test that goes through the list leaves none out.
//!
//! A crash is [`std::process::abort`]: no destructor runs and nothing is flushed, as with `kill -9`.

#[cfg(feature = "fault-points")]
mod plan;
mod point;

pub use point::{FaultPoint, Takes};

#[cfg(feature = "fault-points")]
pub use plan::{Action, Plan};

/// The plan of this process; without the feature, nothing.
#[derive(Clone, Debug, Default)]
pub struct FaultPoints {
    #[cfg(feature = "fault-points")]
    plan: std::sync::Arc<Plan>,
}

/// `RAIDB_FAULT`, or a variable beside it, says what cannot be done.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: {problem}")]
pub struct FaultPlanError {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

#[cfg(not(feature = "fault-points"))]
impl FaultPoints {
    /// What the environment asks for: nothing without the feature.
    ///
    /// # Errors
    /// Never without the feature.
    pub fn from_environment() -> Result<Self, FaultPlanError> {
        Ok(Self::default())
    }

    /// A place where nothing is awaited.
    #[inline(always)]
    pub fn at(&self, _point: FaultPoint) {}

    /// A place in asynchronous code.
    #[inline(always)]
    pub async fn reach(&self, _point: FaultPoint) {}

    /// Positions after which the marker tables change turns.
    #[must_use]
    pub fn rotate_every(&self, usual: u64) -> u64 {
        usual
    }
}

#[cfg(feature = "fault-points")]
impl FaultPoints {
    /// What the environment asks for.
    ///
    /// # Errors
    /// A point or an action that does not exist, or that the point does not take.
    pub fn from_environment() -> Result<Self, FaultPlanError> {
        Ok(Self { plan: std::sync::Arc::new(Plan::from_environment()?) })
    }

    /// Notes that the point was reached; what is to be done there, this time.
    #[must_use]
    pub fn hit(&self, point: FaultPoint) -> Option<&[Action]> {
        let actions = self.plan.hit(point)?;
        tracing::warn!("fault point {} reached: {actions:?}", point.name());
        Some(actions)
    }

    /// Whether anything is asked for there, at whatever passage.
    #[must_use]
    pub fn is_planned(&self, point: FaultPoint) -> bool {
        self.plan.names(point)
    }

    /// A place where nothing is awaited: a pause there stops the thread.
    pub fn at(&self, point: FaultPoint) {
        for action in self.hit(point).unwrap_or_default() {
            match action {
                Action::Crash => crash(point),
                Action::Pause(time) => std::thread::sleep(*time),
                _ => {}
            }
        }
    }

    /// A place in asynchronous code.
    pub async fn reach(&self, point: FaultPoint) {
        for action in self.hit(point).unwrap_or_default() {
            match action {
                Action::Crash => crash(point),
                Action::Pause(time) => tokio::time::sleep(*time).await,
                _ => {}
            }
        }
    }

    /// Positions after which the marker tables change turns (`RAIDB_FAULT_ROTATE_EVERY`).
    #[must_use]
    pub fn rotate_every(&self, usual: u64) -> u64 {
        self.plan.rotate_every.unwrap_or(usual)
    }

    /// Length of a segment of the log, in bytes (`RAIDB_FAULT_SEGMENT_BYTES`).
    #[must_use]
    pub fn segment_bytes(&self, usual: u64) -> u64 {
        self.plan.segment_bytes.unwrap_or(usual)
    }
}

/// Ends the process at once. The last line of its output names the point: a test asserts that.
#[cfg(feature = "fault-points")]
pub fn crash(point: FaultPoint) -> ! {
    eprintln!("raidb: fault point {}: crash", point.name());
    std::process::abort()
}
