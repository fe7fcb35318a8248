//! What an operator may ask of a member: take it out, bring it back, make it anew.

use std::sync::Arc;
use std::time::SystemTime;

use raidb_core::config::Rejoin;
use raidb_core::ids::MemberId;
use raidb_core::log::{MemberChange, Position, RecordKind};
use raidb_core::member::{MemberState, Reason, RebuildPhase, WayBack};

use super::{FaultOutcome, VirtualDatabase};
use crate::members::pg::connect::ConnectError;
use crate::members::pg::maintenance::Maintenance;
use crate::rebuild::{Endpoint, copy_database};
use crate::rejoin::back::rejoin;
use crate::rejoin::tables::literal;

/// A copy waits so long for transactions that shut out readers.
const SHUT_OUT_LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

impl VirtualDatabase {
    /// The member of that name.
    ///
    /// # Errors
    /// There is none; the text names those that there are.
    pub fn member_named(&self, name: &str) -> Result<MemberId, String> {
        let found = self.members.iter().position(|m| m.target.name == name);
        let known: Vec<&str> = self.members.iter().map(|m| m.target.name.as_str()).collect();
        found.and_then(|index| u8::try_from(index).ok()).map(MemberId).ok_or_else(|| {
            format!("virtual database \"{}\" has no member \"{name}\"; it has {}", self.name, known.join(", "))
        })
    }

    /// Takes a member out gently: open transactions go on with the others. It stays out until [`VirtualDatabase::bring_back`].
    ///
    /// # Errors
    /// It is the last one, or on its way back.
    pub async fn take_out(self: &Arc<Self>, member: MemberId) -> Result<String, String> {
        let name = &self.member(member).target.name;
        if let Some(reason) = self.reason_out(member) {
            let by_itself = self.settings.rejoin == Rejoin::Auto && reason.way_back().is_some();
            let comes = if by_itself { "; it comes back by itself when it answers" } else { "" };
            return Ok(format!("\"{name}\" is disabled already ({reason}){comes}"));
        }
        if self.view().members().count() == 1 && self.view().is_enabled(member) {
            return Err(format!("\"{name}\" is the last enabled member and stays"));
        }
        match self.fault(member, Reason::ByOperator, "raidb member disable".into()).await {
            FaultOutcome::Disabled => {
                Ok(format!("\"{name}\" is disabled; `raidb member enable {name}` brings it back"))
            }
            FaultOutcome::Last => Err(format!("\"{name}\" is the last enabled member and stays")),
            FaultOutcome::Leaving => Err(format!(
                "\"{name}\" is not enabled: it is {}",
                self.membership.states()[usize::from(member.0)].name()
            )),
            FaultOutcome::Alive | FaultOutcome::WritesStopped => {
                Err("the proxy cannot write its log; see the proxy's own log".into())
            }
        }
    }

    /// Brings a disabled member back from the recovery log.
    ///
    /// # Errors
    /// Why it cannot be.
    pub async fn bring_back(self: &Arc<Self>, member: MemberId) -> Result<String, String> {
        let name = &self.member(member).target.name;
        match self.membership.states()[usize::from(member.0)] {
            MemberState::Enabled => return Ok(format!("\"{name}\" is enabled already")),
            MemberState::Disabled { reason, .. } if !reason.contents_are_known() => {
                return Err(format!("\"{name}\" is disabled ({reason}): run `raidb member rebuild {name}`"));
            }
            _ => {}
        }
        let given = rejoin(self, member).await.map_err(|error| format!("\"{name}\" is not back: {error}"))?;
        Ok(format!("\"{name}\" is enabled; it was given {given} transactions"))
    }

    /// Makes a member anew: a consistent copy of another one, then the log from there. Clients go on meanwhile.
    ///
    /// # Errors
    /// Why it cannot be; the member is disabled then, and may be rebuilt again.
    pub async fn rebuild(self: &Arc<Self>, member: MemberId, donor: Option<MemberId>) -> Result<String, String> {
        let name = self.member(member).target.name.clone();
        let donor = self.donor(member, donor)?;
        self.expect_answer(member).await?;
        let before = self.reason_out(member);
        // Nobody has looked at it: it may be in the configuration by mistake.
        if before == Some(Reason::New) {
            self.refuse_foreign(self.member(member)).await?;
        }
        // The marker tables keep their turns meanwhile: TRUNCATE does not respect the copy's snapshot.
        let _no_rotation = self.copying.read().await;
        if !self.membership.start_rebuild(member) {
            let state = self.membership.states()[usize::from(member.0)].name();
            return Err(format!("\"{name}\" is {state}; run `raidb member disable {name}` first"));
        }
        let copied = self.copy(member, donor).await;
        let reason = match before {
            _ if copied.is_ok() => Reason::Unreachable,
            // It is tried again by itself: that half a copy is on it makes no difference.
            Some(reason) if reason.way_back() == Some(WayBack::Rebuild) => reason,
            _ => Reason::RebuildUnfinished,
        };
        let recorded = self.record_state(member, MemberState::Disabled { reason, position: Position::START }).await;
        self.membership.rebuild_ended(member, reason);
        let bytes = copied?;
        recorded?;
        let given =
            rejoin(self, member).await.map_err(|error| format!("\"{name}\" is copied, but not back: {error}"))?;
        Ok(format!(
            "\"{name}\" is rebuilt from \"{}\" ({bytes} bytes), and was given {given} transactions",
            self.member(donor).target.name
        ))
    }

    /// A member that does not answer stays what it is: a copy that cannot begin must not count as one that ended half-way.
    pub(super) async fn expect_answer(&self, member: MemberId) -> Result<(), String> {
        let at = self.member(member);
        match Maintenance::connect(&at.target, &at.login, self.settings.member_timeout).await {
            Ok(_) => Ok(()),
            // Its database is not there: an earlier copy ended half-way.
            Err(ConnectError::Server { sqlstate, .. }) if &sqlstate == b"3D000" => Ok(()),
            Err(error) => Err(format!("\"{}\" does not answer, nothing was changed: {error}", at.target.name)),
        }
    }

    fn donor(&self, member: MemberId, wished: Option<MemberId>) -> Result<MemberId, String> {
        let view = self.view();
        let enabled = |m: &MemberId| view.is_enabled(*m) && *m != member;
        match wished {
            Some(donor) if enabled(&donor) => Ok(donor),
            Some(donor) => {
                Err(format!("\"{}\" cannot be the donor: it is not enabled", self.member(donor).target.name))
            }
            // The lead has enough to do.
            None => view
                .followers()
                .find(enabled)
                .or(Some(view.lead).filter(enabled))
                .ok_or_else(|| "no enabled member to copy from".into()),
        }
    }

    async fn copy(self: &Arc<Self>, member: MemberId, donor: MemberId) -> Result<u64, String> {
        // Durable before the first byte is lost: a crash must not leave half a copy that looks like a member.
        self.record_state(member, MemberState::Rebuilding { phase: RebuildPhase::Schema }).await?;
        let (from, to) = (self.member(donor), self.member(member));
        let endpoint = |m: &super::member::Member| Endpoint::new(m.target.clone(), m.login.clone());
        tracing::info!(member = to.target.name, donor = from.target.name, "rebuild begins");
        let alone = tokio::time::timeout(SHUT_OUT_LIMIT, self.shut_out.write()).await;
        let Ok(_no_alter) = alone else {
            return Err("a transaction with ALTER, DROP, TRUNCATE or LOCK TABLE is open; end it, then try again".into());
        };
        let copied = copy_database(&endpoint(from), &endpoint(to), &to.rebuild).await.map_err(|e| e.to_string())?;
        if !self.view().is_enabled(donor) {
            return Err(format!("the donor \"{}\" was disabled meanwhile", from.target.name));
        }
        let within = self.settings.member_timeout;
        let renamed = async {
            let mut connection = Maintenance::connect(&to.target, &to.login, within).await?;
            let sql = format!("UPDATE raidb.member SET name = {}", literal(&to.target.name));
            connection.query(&[&sql], within).await
        };
        renamed.await.map_err(|error| error.to_string())?;
        tracing::info!(member = to.target.name, bytes = copied.bytes, seconds = copied.took.as_secs_f64(), "copied");
        Ok(copied.bytes)
    }

    async fn record_state(&self, member: MemberId, change: MemberState) -> Result<(), String> {
        self.record_state_of(&self.member(member).target.name, change).await
    }

    /// Makes a member's state durable; who takes part does not change by it.
    pub(super) async fn record_state_of(&self, name: &str, change: MemberState) -> Result<(), String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let change = MemberChange {
            member: name.to_owned(),
            change,
            epoch: self.epoch(),
            when_unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            incident: None,
        };
        self.journal.note(RecordKind::MemberChange, change.encode()).await.map(drop).map_err(|error| error.to_string())
    }
}
