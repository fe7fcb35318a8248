//! A member is added while clients work; and what a start does with members that only the configuration, or only the log,
//! knows.
//!
//! **A newcomer never serves before it is whole.** It is made durable as disabled (`new`, contents not known) before
//! anything else is done, and what is built on it is what [`VirtualDatabase::rebuild`] builds, with the states that a
//! rebuild has. So a crash in any phase leaves a disabled member that `raidb member rebuild` makes anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use raidb_core::config::{self, VirtualDatabase as Configured};
use raidb_core::ids::MemberId;
use raidb_core::log::{Checkpoint, MemberChange, Position, RecordKind};
use raidb_core::member::{MemberState, Reason};
use raidb_core::placement::Level;

use super::member::Member;
use super::{VirtualDatabase, start};
use crate::members::pg::connect::ConnectError;
use crate::members::pg::maintenance::{Maintenance, QueryError};
use crate::members::pg::target::{Address, Target};

/// State of a member whose contents nobody knows.
const NEW: MemberState = MemberState::Disabled { reason: Reason::New, position: Position::START };

/// `invalid_catalog_name`: there is no such database.
const NO_DATABASE: [u8; 5] = *b"3D000";

/// Whether a proxy has written there, and how many tables there are beside its own.
const LOOK: &str = "SELECT (pg_catalog.to_regclass('raidb.member') IS NOT NULL)::text, (SELECT pg_catalog.count(*) \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f') \
     AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'raidb'))";

impl VirtualDatabase {
    /// Adds a member: disabled at first, then built as a copy of `donor`, then like the others. Clients go on meanwhile.
    ///
    /// # Errors
    /// Why it cannot be. It is a member nevertheless, disabled, if the text says so.
    pub async fn add(self: &Arc<Self>, member: config::Member, donor: Option<MemberId>) -> Result<String, String> {
        let name = member.name.clone();
        let member = self.admit(&member).await?;
        let built = self.rebuild(member, donor).await;
        built.map_err(|why| format!("\"{name}\" is a member, but disabled: {why}; run `raidb member rebuild {name}`"))
    }

    /// Makes it a member that is disabled.
    async fn admit(&self, configured: &config::Member) -> Result<MemberId, String> {
        let _one_at_a_time = self.adding.lock().await;
        let name = configured.name.as_str();
        if self.members.iter().any(|m| m.target.name == name) {
            return Err(format!("\"{name}\" is a member already; `raidb member rebuild {name}` makes it anew"));
        }
        if self.settings.level == Level::Single.to_string() {
            return Err("level \"single\" allows exactly one member".into());
        }
        let count = self.members.len();
        if count >= Configured::MEMBERS_MAX {
            return Err(format!("there are {count} members, and no more are possible before a restart"));
        }
        let id = MemberId(u8::try_from(count).unwrap_or(u8::MAX));
        let member = start::new_member(id, configured, self.settings.connections_max).map_err(|e| e.to_string())?;
        if let Some(other) = self.members.iter().find(|m| same_place(&m.target, &member.target)) {
            return Err(format!(
                "\"{name}\" is on the same server as \"{}\"; each member needs a server of its own",
                other.target.name
            ));
        }
        self.refuse_foreign(&member).await?;
        // Durable before it is anything here: a start finds it disabled.
        self.record_state_of(name, NEW).await?;
        let full = || format!("there are {count} members already");
        self.floors.lock().push(None);
        // Nobody knows the number before its state is there.
        self.membership.add(NEW);
        let id = self.members.add(|_| member).ok_or_else(full)?;
        self.added.notify_waiters();
        tracing::warn!(
            virtual_database = self.name,
            member = name,
            "a member was added; it is disabled until it is built"
        );
        Ok(id)
    }

    /// Its database is about to be dropped: it must not be a member under another address, nor hold what somebody misses.
    pub(super) async fn refuse_foreign(&self, member: &Member) -> Result<(), String> {
        let (name, place) = (&member.target.name, format!("{:?}", member.target));
        let within = self.settings.member_timeout;
        let mut connection = match Maintenance::connect(&member.target, &member.login, within).await {
            Ok(connection) => connection,
            Err(ConnectError::Server { sqlstate: NO_DATABASE, .. }) => return Ok(()),
            Err(error) => return Err(format!("cannot connect to {place}: {error}")),
        };
        let failed = |error: QueryError| format!("cannot look at {place}: {error}");
        let look = connection.query(&[LOOK], within).await.map_err(failed)?;
        let row = look.first().and_then(|rows| rows.first()).map(Vec::as_slice);
        let Some([Some(known), Some(tables)]) = row else { return Err(format!("cannot look at {place}")) };
        if known == "true" {
            let told = connection.query(&["SELECT database, name FROM raidb.member"], within).await.map_err(failed)?;
            let own = |row: &Vec<Option<String>>| {
                row.first().is_some_and(|d| d.as_deref() == Some(self.name.as_str()))
                    && row.get(1).is_some_and(|n| n.as_deref() == Some(name.as_str()))
            };
            if told.iter().flatten().all(own) {
                return Ok(());
            }
        } else if tables == "0" {
            return Ok(());
        }
        Err(format!(
            "{place} holds tables, or is a member already; a member's database is made anew, so drop it there first, or name \
             another one"
        ))
    }

    /// Behind the recovery of a start: the log names every member that there is, and forgets those that the configuration does
    /// not name any more. False: that is not durable; try again.
    pub(super) async fn name_members(&self) -> bool {
        if self.named.load(Ordering::Acquire) {
            return true;
        }
        let states = self.membership.states();
        let mut members: Vec<MemberChange> = Vec::new();
        for (member, state) in self.members.iter().zip(states) {
            // Those that have left at this start are named by that.
            if self.logged.of(&member.target.name).is_none() && (state.is_enabled() || state == NEW) {
                members.push(self.change(&member.target.name, state));
            }
        }
        let gone = self.logged.changes().filter(|change| !self.members.iter().any(|m| m.target.name == change.member));
        let mut somebody_left = false;
        for change in gone {
            tracing::warn!(
                virtual_database = self.name,
                member = change.member,
                "the recovery log knows a member that the configuration does not name: it is ignored, and nothing is kept for it"
            );
            // If it is named again one day, it has missed what nobody has kept for it.
            if change.change != NEW {
                somebody_left = true;
                members.push(self.change(&change.member, NEW));
            }
        }
        if members.is_empty() && self.logged.is_complete() {
            return true;
        }
        if somebody_left {
            let epoch = self.next_epoch();
            members.iter_mut().for_each(|change| change.epoch = epoch);
        }
        let checkpoint = Checkpoint { members, complete: true };
        if let Err(error) = self.journal.note(RecordKind::Checkpoint, checkpoint.encode()).await {
            self.start_waits(format!("the recovery log cannot name the members: {error}"));
            return false;
        }
        if somebody_left {
            // Nobody is left out: the one that is gone is no member any more.
            self.tell_epoch(MemberId(u8::MAX)).await;
        }
        true
    }

    fn change(&self, name: &str, change: MemberState) -> MemberChange {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let when_unix_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        MemberChange { member: name.to_owned(), change, epoch: self.epoch(), when_unix_ms, incident: None }
    }
}

/// Whether two targets look like one server; that a database may be one under two names is looked for on the server.
fn same_place(a: &Target, b: &Target) -> bool {
    let place = |address: &Address| match address {
        Address::Tcp { host, port } => {
            let host = host.to_ascii_lowercase();
            let local = matches!(host.as_str(), "localhost" | "::1");
            Address::Tcp { host: if local { "127.0.0.1".into() } else { host }, port: *port }
        }
        Address::Unix(path) => Address::Unix(path.clone()),
    };
    place(&a.address) == place(&b.address)
}
