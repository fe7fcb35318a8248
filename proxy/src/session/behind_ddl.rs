//! A session and DDL: what a statement is can be told only while none is being committed (see `virtual_database::ddl_gate`).

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::statement::Statement;
use super::transaction::Block;
use super::trouble::{SqlError, Trouble};
use super::{READ_AHEAD_BYTES_MAX, Session};
use crate::virtual_database::ddl_gate::DdlCommit;

impl Session {
    /// Waits until no DDL is being committed: what a statement is can be told only then. Also asks what names mean, if
    /// that is not known.
    ///
    /// # Errors
    /// Only what ends the session.
    pub(crate) async fn judgeable(&mut self) -> Result<u64, Trouble> {
        if self.meaning_unknown && self.block != Block::Failed {
            self.read_meaning_surely().await;
        }
        loop {
            self.temporary_known().await?;
            let generation = self.generation().await?;
            // DDL of others may have dropped some of the session's temporary objects (DROP TYPE … CASCADE, DROP OWNED).
            if self.temporary_is_of(generation) {
                return Ok(generation);
            }
            self.read_temporary_again(generation).await?;
        }
    }

    async fn generation(&mut self) -> Result<u64, Trouble> {
        poll_fn(|cx| {
            self.poll_background(cx);
            if let Some(generation) = self.database.ddl_generation() {
                return Poll::Ready(Ok(generation));
            }
            if self.view.down {
                // Whoever needs a member is told that there is none. If there is one by then, the generation is another one
                // behind its answer, and the statement is judged again.
                return Poll::Ready(Ok(self.database.ddl_ended()));
            }
            self.poll_leaves(cx)
        })
        .await
    }

    /// DDL has ended: the catalog is read again. This session waits for that, so that the client's next statement does not
    /// have to; if it cannot, the gate stays closed until it is read.
    pub(super) async fn behind_ddl(&mut self, ddl: DdlCommit, result: &Result<(), Trouble>) {
        match result {
            Ok(()) => {
                let ended = self.database.ddl_ended();
                drop(ddl);
                poll_fn(|cx| {
                    self.poll_background(cx);
                    let leaves = self.poll_leaves::<()>(cx).is_ready();
                    let read = self.database.ddl_ended() > ended;
                    if read || self.view.down || leaves { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
            // Nobody knows whether it took effect.
            Err(Trouble::Fatal(_)) => drop(ddl),
            Err(_) => ddl.rolled_back(),
        }
    }

    /// Ready, with an error, when nobody is left who would want an answer.
    fn poll_leaves<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Trouble>> {
        if self.handle.stopping() {
            return Poll::Ready(Err(Trouble::Fatal(SqlError::stopping())));
        }
        if self.client.poll_gone(cx, READ_AHEAD_BYTES_MAX).is_ready() {
            self.client_gone = true;
            return Poll::Ready(Err(Trouble::ClientGone));
        }
        Poll::Pending
    }

    /// Behind the lead's answer: the statement's own lock has kept DDL out since; before it, DDL may have come in between. If it
    /// was one transaction, and the statement is the same before and behind it, it has nothing to do with it.
    pub(crate) async fn check_generation(&mut self, statement: &Statement) -> Result<(), Trouble> {
        if self.database.ddl_generation() == Some(statement.generation) {
            return Ok(());
        }
        let now = self.judgeable().await?;
        // What DDL of others has done to the session's own relations is not in the catalog that all share.
        let own = self.has_temporary() || self.open.as_ref().is_some_and(|open| open.own_catalog.is_some());
        if !own && (statement.generation..=statement.generation + 1).contains(&now) {
            let again = self.analysis(&statement.sql, statement.bound.is_some());
            // All that it says, tables and their keys included.
            if statement.analysis == again {
                return Ok(());
            }
        }
        self.stale = true;
        Err(SqlError::retry("the schema was changed while the statement waited").into())
    }
}
