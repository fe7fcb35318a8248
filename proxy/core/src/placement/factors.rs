//! The four factors: where rows live, who answers a read, how many a write waits for, whether reads are compared.

/// Which members hold a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placement {
    /// There is one member; it holds everything.
    Single,
    /// Every member holds every table.
    Full,
    /// Every table is on some of the members.
    Partial,
    /// Every table is on exactly one member.
    Partitioned,
}

/// Which of the enabled members that hold the tables answers a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pick {
    /// Each in turn.
    RoundRobin,
    /// Each in turn, as often as its `weight` says.
    Weighted,
    /// The one with the fewest statements in flight.
    LeastPending,
}

/// How many enabled members must have committed before the client is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitFor {
    /// All of them.
    All,
    /// More than half of them.
    Majority,
    /// Any one of them.
    First,
}

/// Whether a read runs on several members and their rows are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCheck {
    /// One member is believed.
    Off,
    /// Several members answer, the minority is disabled.
    Vote,
}

/// The four factors of one virtual database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Which members hold a table.
    pub placement: Placement,
    /// Who answers a read.
    pub pick: Pick,
    /// How many a commit waits for.
    pub wait_for: WaitFor,
    /// Whether reads are compared.
    pub error_check: ErrorCheck,
}
