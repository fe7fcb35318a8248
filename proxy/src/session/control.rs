//! Transaction control, settings, utilities: commands that are handled one by one, in both protocols, by their text.

use bytes::Bytes;
use raidb_core::sql::analysis::{Command, Refusal, SessionChange, TransactionModes, TwoPhase, Utility};

use super::Session;
use super::characteristics::{Characteristics, set_transaction};
use super::frames::quote_identifier;
use super::meaning::Due;
use super::settings::{Effect, SessionSettings};
use super::statement::Statement;
use super::transaction::{Block, Entry, Payload};
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::Owner;
use crate::wire::encode;

/// Commands that a failed transaction block accepts.
#[must_use]
pub fn allowed_when_failed(command: &Command) -> bool {
    matches!(
        command,
        Command::Commit { .. }
            | Command::Rollback { .. }
            | Command::RollbackTo(_)
            | Command::TwoPhase { command: TwoPhase::Prepare, .. }
    )
}

/// Commands that this module runs.
#[must_use]
pub fn is_control(command: &Command) -> bool {
    match command {
        Command::Begin(_)
        | Command::Commit { .. }
        | Command::Rollback { .. }
        | Command::Savepoint(_)
        | Command::Release(_)
        | Command::RollbackTo(_)
        | Command::Session(_)
        | Command::Prepare { .. }
        | Command::Deallocate(_)
        | Command::Discard { .. }
        | Command::CopyIn(_)
        | Command::Token(_)
        | Command::Route { .. }
        | Command::Notification(_)
        | Command::Concurrently(_)
        | Command::TwoPhase { .. }
        | Command::Refused(_) => true,
        Command::Utility(utility) => !utility.transactional,
        Command::Empty
        | Command::Read(_)
        | Command::RowLock(_)
        | Command::Write(_)
        | Command::Imaged(_)
        | Command::Unproven(_)
        | Command::Fill(_)
        | Command::CopyOut(_)
        | Command::LockTable(_)
        | Command::Advisory(_)
        | Command::Execute { .. }
        | Command::Unknown { .. } => false,
    }
}

impl Session {
    /// Runs one of them; its answer is staged.
    pub(crate) async fn control(&mut self, statement: &Statement) -> Result<(), Trouble> {
        match &statement.analysis.command {
            Command::Begin(modes) => self.begin(statement, *modes).await,
            Command::Commit { chain } => self.commit_command(*chain).await,
            Command::Rollback { chain } => self.rollback_command(*chain).await,
            Command::Savepoint(name) => self.savepoint(name).await,
            Command::Release(name) => self.release_savepoint(name).await,
            Command::RollbackTo(name) => self.rollback_to(name).await,
            Command::Session(change) => self.session_change(statement, change).await,
            Command::Prepare { .. } | Command::Deallocate(_) | Command::Discard { .. } => {
                self.names_command(statement).await
            }
            Command::Token(command) => self.token_command(statement, command).await,
            Command::Notification(command) => self.notification_command(statement, command),
            Command::Route { inner, analysis } => {
                self.explain_route(statement, *inner, analysis);
                Ok(())
            }
            Command::Utility(utility) => self.utility_outside(statement, utility).await,
            Command::Concurrently(concurrently) => self.concurrently(statement, concurrently).await,
            Command::TwoPhase { command, refusal } => self.two_phase(statement, command, refusal).await,
            Command::Refused(refusal) => Err(self.refused(refusal).into()),
            _ => Err(SqlError::new("XX000", "not a control command", "Report this.").into()),
        }
    }

    /// It runs nowhere.
    pub(super) fn refused(&self, refusal: &Refusal) -> SqlError {
        self.database.counters.refusals.add();
        SqlError::refused(&refusal.reason, refusal.hint.clone())
    }

    pub(super) fn complete(&mut self, tag: &str) {
        encode::command_complete(&mut self.staged, tag);
    }

    pub(super) fn warn(&mut self, sqlstate: &str, message: &str) {
        self.tell("WARNING", sqlstate, message);
    }

    /// A message that is no error.
    pub(super) fn tell(&mut self, severity: &str, sqlstate: &str, message: &str) {
        let fields = [(b'S', severity), (b'V', severity), (b'C', sqlstate), (b'M', message)];
        encode::notice_or_error(&mut self.staged, b'N', &fields);
    }

    /// BEGIN costs no round trip: it goes out together with the first statement.
    async fn begin(&mut self, statement: &Statement, modes: TransactionModes) -> Result<(), Trouble> {
        let start = statement.sql.first().is_some_and(|b| b.eq_ignore_ascii_case(&b's'));
        let tag = if start { "START TRANSACTION" } else { "BEGIN" };
        if self.block == Block::Open {
            self.warn("25001", "there is already a transaction in progress");
        }
        if self.open.is_none() {
            self.open_transaction(true, Characteristics::plain(self.settings.isolation));
        }
        // In a block, a pipeline or a message of several statements it is one transaction with what came before, and what BEGIN names
        // holds for that as far as PostgreSQL lets it.
        if self.open.as_ref().is_some_and(|open| open.lead_begun)
            && let Some(sql) = set_transaction(&modes)
        {
            self.lead_command_surely(&sql).await?;
        }
        self.note_modes(&modes);
        if let Some(open) = self.open.as_mut() {
            open.explicit = true;
            self.block_begun = Some(open.modes);
        }
        self.block = Block::Open;
        self.complete(tag);
        Ok(())
    }

    /// The transaction that is to end was lost: its block ends by that. Also of a pipeline, which is no block.
    pub(super) fn tell_lost(&mut self) -> Result<(), SqlError> {
        match self.lost_transaction.take() {
            Some(error) => {
                self.block = Block::Idle;
                Err(error)
            }
            None => Ok(()),
        }
    }

    async fn commit_command(&mut self, chain: bool) -> Result<(), Trouble> {
        if self.block == Block::Failed {
            return self.rollback_command(chain).await;
        }
        self.tell_lost()?;
        if self.block == Block::Idle {
            self.no_block(chain.then_some("COMMIT AND CHAIN"))?;
            if self.open.is_none() {
                self.complete("COMMIT");
                return Ok(());
            }
        }
        let again = self.again();
        // Whatever comes of it, the block ends here.
        self.block = Block::Idle;
        self.commit().await?;
        self.chain(chain, again);
        self.complete("COMMIT");
        Ok(())
    }

    /// How the next transaction of AND CHAIN begins: as this one, or as the one that was lost under its block.
    fn again(&self) -> Option<Again> {
        let open = self.open.as_ref().map(|open| Again { modes: open.modes, read_only: open.read_only_by_default });
        let lost = self.block_begun.filter(|_| self.block != Block::Idle);
        open.or(lost.map(|modes| Again { modes, read_only: self.settings.read_only }))
    }

    fn chain(&mut self, chain: bool, again: Option<Again>) {
        if let (true, Some(Again { mut modes, read_only })) = (chain, again) {
            if read_only != self.settings.read_only {
                // The default has changed in it, and is not what the next one begins with.
                modes.read_only = modes.read_only.or(Some(read_only));
            }
            self.open_transaction(true, modes);
            self.block = Block::Open;
        }
    }

    pub(super) async fn rollback_command(&mut self, chain: bool) -> Result<(), Trouble> {
        if self.block == Block::Idle {
            self.no_block(chain.then_some("ROLLBACK AND CHAIN"))?;
        }
        let again = self.again();
        self.lost_transaction = None;
        self.rollback().await;
        self.block = Block::Idle;
        self.chain(chain, again);
        self.complete("ROLLBACK");
        Ok(())
    }

    /// COMMIT or ROLLBACK that no BEGIN was before: it ends what the message has done so far, with a warning; `chain` has nothing to
    /// go on with.
    pub(super) fn no_block(&mut self, chain: Option<&str>) -> Result<(), SqlError> {
        chain.map_or(Ok(()), |what| self.in_block(what))?;
        self.warn("25P01", "there is no transaction in progress");
        Ok(())
    }

    fn in_block(&self, what: &str) -> Result<(), SqlError> {
        if self.block == Block::Idle {
            return Err(SqlError::new("25P01", format!("{what} can only be used in transaction blocks"), ""));
        }
        Ok(())
    }

    /// A command of the session's own on the lead, repeated there if the lead changes.
    async fn lead_command_surely(&mut self, sql: &str) -> Result<(), Trouble> {
        loop {
            let attempt = match self.ready_members(false).await {
                Ok(_) => self.lead_command(sql).await,
                Err(trouble) => Err(trouble),
            };
            match attempt {
                Err(Trouble::LeadChanged) => self.change_lead().await?,
                Err(Trouble::MemberLost) => self.next_view().await,
                other => return other,
            }
        }
    }

    async fn savepoint(&mut self, name: &str) -> Result<(), Trouble> {
        self.in_block("SAVEPOINT")?;
        let sql = format!("SAVEPOINT {}", quote_identifier(name));
        // No wait between the lead's answer and the transcript: a change of lead in between would forget it. The followers'
        // connections are opened in the background.
        self.lead_command_surely(&sql).await?;
        let entry = entry(sql, "SAVEPOINT");
        if let Some(open) = self.open.as_mut() {
            open.transcript.savepoint(name.to_owned(), entry);
        }
        self.complete("SAVEPOINT");
        Ok(())
    }

    async fn release_savepoint(&mut self, name: &str) -> Result<(), Trouble> {
        self.in_block("RELEASE SAVEPOINT")?;
        let sql = format!("RELEASE SAVEPOINT {}", quote_identifier(name));
        self.lead_command_surely(&sql).await?;
        if let Some(open) = self.open.as_mut() {
            open.transcript.release(name, entry(sql, "RELEASE"));
        }
        self.complete("RELEASE");
        Ok(())
    }

    async fn rollback_to(&mut self, name: &str) -> Result<(), Trouble> {
        self.in_block("ROLLBACK TO SAVEPOINT")?;
        let exists = self.open.as_ref().is_some_and(|open| open.transcript.has_savepoint(name));
        if !exists {
            return Err(SqlError::new("3B001", format!("savepoint \"{name}\" does not exist"), "").into());
        }
        // Undone on the lead means undone on the followers, at once: the order among members does not matter, since what is
        // undone is of no effect on either, and the lead's locks go last or first without anybody having seen its rows.
        self.lead_command_surely(&format!("ROLLBACK TO SAVEPOINT {}", quote_identifier(name))).await?;
        let Some(open) = self.open.as_mut() else { return Err(SqlError::in_failed_transaction().into()) };
        let lead = open.lead;
        open.seen.roughly();
        let mut ddl_undone = false;
        if let Some(undo) = open.transcript.rollback_to(name) {
            ddl_undone = open.own_catalog.is_some() && undo.length <= open.own_catalog_at;
            open.settings.retain(|s| s.at <= undo.length);
            open.cursors_undone(undo.length);
            open.read_only_at = open.read_only_at.filter(|at| *at < undo.length);
            open.modes_undone(undo.length);
            self.block_begun = self.block_begun.map(|_| open.modes);
            self.notices.undo(undo.length);
            for member in self.view.members().filter(|m| *m != lead) {
                self.slot(member).cursor.undo(&undo);
            }
        }
        self.block = Block::Open;
        if let Some(open) = self.open.as_ref().filter(|open| open.meaning_changed) {
            let due = if open.texts_changed { Due::Texts } else { Due::Names };
            self.meaning_is_due(due).await;
        }
        let of_session = self.open.as_ref().is_some_and(|open| open.temporary.is_some());
        if ddl_undone || of_session {
            // DDL may be among what is undone: what comes is judged by what is left of it.
            self.own_catalog_surely().await?;
        }
        if of_session {
            self.names.renew();
        }
        self.complete("ROLLBACK");
        Ok(())
    }

    async fn session_change(&mut self, statement: &Statement, change: &SessionChange) -> Result<(), Trouble> {
        let effect = match change {
            SessionChange::Set { name, values } => {
                // `SELECT set_config(…)` means the same, but is answered with a row: the member has that.
                if is_set(statement) && self.open.is_none() && self.settings.already(name, &statement.sql) {
                    self.complete("SET");
                    return Ok(());
                }
                Some(Effect::Set { name: name.clone(), sql: statement.sql.clone(), values: values.clone() })
            }
            SessionChange::SessionModes(modes) => {
                if self.open.is_none() && self.settings.already_modes(modes) {
                    self.complete("SET");
                    return Ok(());
                }
                Some(Effect::Modes(*modes))
            }
            SessionChange::Reset { name } => Some(Effect::Reset(name.clone())),
            SessionChange::ResetAll => {
                self.forget_waiting_token();
                Some(Effect::ResetAll)
            }
            SessionChange::SetLocal { .. } | SessionChange::TransactionModes(_) | SessionChange::Constraints { .. } => {
                None
            }
        };
        if self.open.is_some() {
            self.setting_in_transaction(statement, change, effect).await
        } else {
            self.everywhere(statement).await?;
            if let Some(effect) = effect {
                self.settings.apply(&effect);
            }
            if change_of_meaning(change) {
                self.read_meaning_surely().await;
            }
            Ok(())
        }
    }

    /// SET CONSTRAINTS … IMMEDIATE runs triggers of users that have waited: first, where images are taken of what they do.
    pub(super) async fn before_constraints(&mut self, statement: &Statement) -> Result<(), Trouble> {
        if self.open.as_ref().is_some_and(|open| open.imaged && open.deferred && open.lead_begun) {
            // The client's own text: constraints that it does not name stay deferred.
            let sql = std::str::from_utf8(&statement.sql).unwrap_or(super::imaged::RUN_DEFERRED).to_owned();
            return self.images_of_deferred(&sql).await;
        }
        Ok(())
    }

    /// Outside a transaction: on the lead, whose answer is the client's, then on every other connection of the session.
    pub(crate) async fn everywhere(&mut self, statement: &Statement) -> Result<(), Trouble> {
        let lead = self.outside(statement).await?;
        // A cancel of a read there that is still on its way would have the member taken out, for a setting that it did not take.
        self.cancels_done().await;
        for member in self.view.members().filter(|m| *m != lead) {
            if let Some(link) = self.link(member) {
                link.simple(&[&statement.sql], Owner::Setting);
            }
        }
        Ok(())
    }

    /// Runs a text on the lead outside any transaction; its answer is staged.
    pub(super) async fn outside(&mut self, statement: &Statement) -> Result<raidb_core::ids::MemberId, Trouble> {
        loop {
            let mark = self.staged.len();
            let attempt = self.try_outside(statement).await;
            match attempt {
                Err(Trouble::LeadChanged) if self.open.is_some() && !self.released => {
                    // The transaction around it has to follow the lead first: others wait for that.
                    self.staged.truncate(mark);
                    self.change_lead().await?;
                    self.followers_settled().await?;
                }
                Err(Trouble::LeadChanged | Trouble::MemberLost) if !self.released => {
                    self.staged.truncate(mark);
                    self.next_view().await;
                }
                other => return other,
            }
        }
    }

    async fn try_outside(&mut self, statement: &Statement) -> Result<raidb_core::ids::MemberId, Trouble> {
        let lead = self.ready_members(false).await?;
        let Some(link) = self.link(lead) else { return Err(Trouble::MemberLost) };
        super::frames::before_sql(link, statement);
        link.simple(&[&statement.sql], Owner::Foreground);
        let (end, _) = self.read_client_unit(lead, Session::plain_reading(0)).await?;
        match end.error {
            Some(frame) => Err(Trouble::Answer(frame)),
            None => Ok(lead),
        }
    }

    /// VACUUM and the like: member by member, lead first, outside transactions. They change no contents.
    pub(super) async fn utility_outside(&mut self, statement: &Statement, utility: &Utility) -> Result<(), Trouble> {
        if self.open.is_some() {
            // The lead refuses it in a transaction block, in its own words.
            return self.simple_on_lead(statement).await;
        }
        let lead = self.outside(statement).await?;
        let followers: Vec<_> = self.view.members().filter(|m| *m != lead).collect();
        self.ensure_links(&followers).await?;
        for member in followers {
            if let Some(link) = self.link(member) {
                // Contents are the same with or without it, so an error is no divergence; the follower does it in its own time.
                link.simple(&[&statement.sql], Owner::Discarded);
            }
        }
        if utility.changes_catalog {
            let ddl = self.database.start_ddl();
            self.behind_ddl(ddl, &Ok(())).await;
        }
        Ok(())
    }

    /// Grows with the catalog and with settings that matter to the analysis.
    pub(crate) fn analysis_version(&self) -> u64 {
        self.catalog().version.wrapping_mul(1 << 20).wrapping_add(self.settings.version)
    }
}

/// A change of settings that is not in the form of a query: `SELECT set_config(…)` is answered with a row, and takes a snapshot.
pub(super) fn is_set(statement: &Statement) -> bool {
    let begins = |word: &str| statement.sql.get(..word.len()).is_some_and(|b| b.eq_ignore_ascii_case(word.as_bytes()));
    matches!(statement.analysis.command, Command::Session(_)) && (begins("set") || begins("reset"))
}

pub(super) fn change_of_meaning(change: &SessionChange) -> bool {
    match change {
        SessionChange::Set { name, .. } | SessionChange::SetLocal { name, .. } | SessionChange::Reset { name } => {
            SessionSettings::changes_meaning(name)
        }
        SessionChange::ResetAll => true,
        SessionChange::TransactionModes(_) | SessionChange::SessionModes(_) | SessionChange::Constraints { .. } => {
            false
        }
    }
}

/// What AND CHAIN repeats.
#[derive(Clone, Copy, Debug)]
struct Again {
    modes: Characteristics,
    /// READ ONLY, where the modes do not say.
    read_only: bool,
}

fn entry(sql: String, tag: &'static str) -> Entry {
    Entry::frame(Payload::Simple(Bytes::from(sql)), Some(Bytes::from_static(tag.as_bytes())))
}
