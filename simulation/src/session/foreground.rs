//! The client's statements, on the lead: mirrors `session/{lead,lead_unit,outcome}.rs`.

use raidb_core::ids::CommitSeq;
use raidb_core::sql::footprint::Footprint;
use raidb_core::token::Token;
use raidb_core::transaction::overtaking::Seen;
use raidb_core::transcript::Transcript;

use super::{Entry, Foreground, Open, Owed, Session, Told, Trouble};
use crate::client::Act;
use crate::member::{Answer, Command, Tag};
use crate::proxy::in_flight::Member;
use crate::statement::Op;
use crate::world::World;

impl Session {
    /// The foreground's turn. True if something happened.
    pub fn foreground(&mut self, w: &mut World) -> bool {
        self.look(w);
        let before = std::mem::discriminant(&self.state);
        let happened = match self.turn(w) {
            Ok(happened) => happened,
            Err(trouble) => {
                self.trouble(trouble, w);
                true
            }
        };
        if before != std::mem::discriminant(&self.state) {
            self.last_progress = w.now;
            let origin = self.open.as_ref().map_or(0, |open| u64::from(open.origin));
            w.trace.add(w.now, "session", [self.id, origin, 0], || format!("{:?}", self.state));
        }
        happened
    }

    fn turn(&mut self, w: &mut World) -> Result<bool, Trouble> {
        match self.state.clone() {
            Foreground::Idle { until } => Ok(w.now >= until && !self.client.is_over() && self.begin(w)),
            Foreground::Act => self.next_act(w),
            Foreground::Answer => self.wait_answer(w),
            Foreground::Settle => self.settle_followers(w),
            Foreground::Register => self.register(w),
            Foreground::Write => self.wait_intent(w),
            Foreground::Prove(doubts) => self.prove(doubts, w),
            Foreground::Committing => self.committing(w),
            Foreground::Undecide(record, trouble) => self.undecide(record, trouble, w),
            Foreground::Withdraw(record, trouble) => self.withdraw(record, trouble, w),
            Foreground::LeadLeft { resume_commit } => self.lead_left(resume_commit, w),
            Foreground::Drain { until, resume_commit } => self.drain(until, resume_commit, w),
            Foreground::Older { epoch, resume_commit } => self.older(epoch, resume_commit, w),
            Foreground::Ending { told } => Ok(self.ending(told, w)),
            Foreground::Cleaning { told } => Ok(self.cleaning(told, w)),
        }
    }

    fn begin(&mut self, w: &mut World) -> bool {
        if self.view.down {
            // 57P03: the client tries again.
            self.state = Foreground::Idle { until: w.now + 20 };
            return false;
        }
        let origin = w.oracle.begin();
        self.client.begin(origin, &mut w.random, w.settings);
        let view = w.shared.membership.enter();
        self.open = Some(Open {
            origin,
            lead: view.lead,
            lead_begun: false,
            epoch: view.lead_epoch,
            transcript: Transcript::default(),
            footprint: Footprint::Nothing,
            seen: Seen::default(),
            token: self.client.token().then(|| Token::new(format!("t{origin}").as_bytes())).flatten(),
            token_given: false,
            doomed: None,
        });
        self.state = Foreground::Act;
        true
    }

    /// Connections to all members that take part, or what is missing is opened.
    fn ready_members(&mut self, w: &mut World) -> Result<bool, Trouble> {
        self.check_lead()?;
        if self.view.down {
            return Err(Trouble::NoMember);
        }
        let Some(open) = &self.open else { return Ok(false) };
        if !open.lead_begun && w.shared.membership.older_active(open.epoch) {
            return Ok(false);
        }
        let missing = self.view.members().find(|m| self.slots[*m].connection.is_none());
        match missing {
            None => Ok(true),
            Some(member) => {
                let slot = &self.slots[member];
                if slot.work.is_none() && !slot.lost {
                    self.connect(member, w);
                }
                Ok(false)
            }
        }
    }

    fn next_act(&mut self, w: &mut World) -> Result<bool, Trouble> {
        let connections = w.next_connection();
        if !self.ready_members(w)? {
            return Ok(w.next_connection() != connections);
        }
        self.bind_token(w)?;
        let Some(open) = &self.open else { return Ok(false) };
        let lead = open.lead;
        let command = match self.act() {
            Act::Commit => {
                self.state = Foreground::Settle;
                return self.begin_commit(w).map(|()| true);
            }
            Act::Rollback => {
                self.roll_back(Told::Aborted, w);
                return Ok(true);
            }
            Act::Run(op) => {
                // A statement waits on the lead for commits in flight there that it would see.
                if w.settings.lead_waits {
                    let (tickets, _) = w.shared.in_flight.barrier(&op.footprint());
                    if !w.shared.in_flight.clear_on(&tickets, lead) {
                        return Ok(false);
                    }
                }
                Command::Run(op, open.origin)
            }
            Act::Savepoint(name) => Command::Savepoint(name),
            Act::RollbackTo(name) => Command::RollbackTo(name),
        };
        self.ask_lead(command, w);
        self.state = Foreground::Answer;
        Ok(true)
    }

    /// Sends a command to the lead, with BEGIN before it if there was none.
    pub(super) fn ask_lead(&mut self, command: Command, w: &mut World) {
        let Some(open) = &mut self.open else { return };
        let begin = (!open.lead_begun).then_some(Command::Begin);
        open.lead_begun = true;
        let lead = open.lead;
        self.answer = None;
        let unit = begin.into_iter().chain([command]).collect();
        self.send(lead, unit, Owed::Foreground, w);
    }

    fn bind_token(&mut self, w: &mut World) -> Result<(), Trouble> {
        let Some(open) = self.open.as_mut().filter(|open| !open.token_given) else { return Ok(()) };
        open.token_given = true;
        let Some(token) = &open.token else { return Ok(()) };
        w.oracle.named(open.origin);
        w.shared.give_token(token, self.id, w.now, &mut w.disk).map_err(Trouble::Sql)
    }

    fn wait_answer(&mut self, w: &mut World) -> Result<bool, Trouble> {
        self.check_lead()?;
        let Some(answer) = self.answer.take() else { return Ok(false) };
        if answer.error.is_some() {
            self.statement_failed(w);
        } else {
            self.answered(&answer, w);
            self.client.next();
            self.state = Foreground::Act;
        }
        Ok(true)
    }

    /// The lead has answered: what it did goes into the transcript.
    fn answered(&mut self, answer: &Answer, w: &mut World) {
        match self.act() {
            Act::Run(op) => {
                for form in op.transcript_form(&answer.rows) {
                    self.push_entry(form, op, w);
                }
            }
            Act::Savepoint(name) => {
                if let Some(open) = &mut self.open {
                    let entry = Entry {
                        command: Command::Savepoint(name),
                        tag: Tag::word("SAVEPOINT"),
                        barrier: Vec::new(),
                        at: w.now,
                    };
                    open.transcript.savepoint(format!("s{name}"), entry);
                }
            }
            Act::RollbackTo(name) => {
                let Some(open) = &mut self.open else { return };
                open.seen.roughly();
                if let Some(undo) = open.transcript.rollback_to(&format!("s{name}")) {
                    self.undo(&undo, w);
                }
            }
            Act::Commit | Act::Rollback => {}
        }
    }

    fn push_entry(&mut self, form: Op, of: Op, w: &mut World) {
        let footprint = of.footprint();
        let (barrier, next): (Vec<CommitSeq>, CommitSeq) = w.shared.in_flight.barrier(&footprint);
        let Some(open) = &mut self.open else { return };
        if form.writes() {
            // Locks write nothing: a commit of them is waited for by nobody.
            open.footprint.absorb(footprint.clone());
        }
        open.seen.add(next, &footprint);
        let tag = Tag { verb: form.verb(), rows: Some(1) };
        let command = Command::Run(form, open.origin);
        open.transcript.push(Entry { command, tag, barrier, at: w.now });
        w.counts.entries += 1;
    }

    /// Undone on the followers at once (rule 3), and the client decides how it goes on.
    fn statement_failed(&mut self, w: &mut World) {
        w.counts.failed += 1;
        let Some(open) = &mut self.open else { return };
        let undo = open.transcript.failed();
        open.seen.roughly();
        self.undo(&undo, w);
        let back = undo.savepoint.as_deref().map(super::follow::savepoint_number);
        self.client.failed(back, &mut w.random);
        self.state = Foreground::Act;
    }

    /// What a trouble means where the foreground stands.
    fn trouble(&mut self, trouble: Trouble, w: &mut World) {
        w.trace.add(w.now, "trouble", [self.id, 0, 0], || format!("{trouble:?} in {:?}", self.state));
        let committing = matches!(
            self.state,
            Foreground::Settle
                | Foreground::Register
                | Foreground::Write
                | Foreground::Prove(_)
                | Foreground::Committing
                | Foreground::Undecide(..)
                | Foreground::Withdraw(..)
        );
        if committing {
            return self.commit_trouble(trouble, w);
        }
        let resume_commit = match self.state {
            Foreground::LeadLeft { resume_commit }
            | Foreground::Drain { resume_commit, .. }
            | Foreground::Older { resume_commit, .. } => resume_commit,
            _ => false,
        };
        match trouble {
            Trouble::LeadChanged => self.state = Foreground::LeadLeft { resume_commit },
            Trouble::Fatal => self.fatal(w),
            Trouble::ViewChanged => {}
            Trouble::Sql(_) | Trouble::NoMember => self.roll_back(Told::Aborted, w),
        }
    }

    /// The members of the view but the lead.
    pub(super) fn followers(&self) -> Vec<Member> {
        let lead = self.open.as_ref().map(|open| open.lead);
        self.view.members().filter(|m| Some(*m) != lead).collect()
    }
}
