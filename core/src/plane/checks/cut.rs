//! A store that fails after so many batches, as a process that is killed between two of them; or before whose next one, or between
//! two of whose looks, something else happens; or whose answers are lost, or whose feed stands still.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::store::{Batch, Changes, Cursor, Query, Reads, Receipt, Store, StoreError, Table, store_over};

type Meanwhile = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Commits so many batches, and nothing after.
pub(super) struct Cut {
    inner: Arc<dyn Store>,
    left: AtomicUsize,
    meanwhile: Mutex<Option<Meanwhile>>,
    /// What happens before a row of this table is looked at.
    before_look: Mutex<Option<(&'static Table, Meanwhile)>>,
    is_mute: bool,
    is_blind: AtomicBool,
    kept: Option<Mutex<Vec<Batch>>>,
}

impl Cut {
    pub(super) fn after(inner: &Arc<dyn Store>, batches: usize) -> Self {
        Self {
            inner: Arc::clone(inner),
            left: AtomicUsize::new(batches),
            meanwhile: Mutex::default(),
            before_look: Mutex::default(),
            is_mute: false,
            is_blind: AtomicBool::new(false),
            kept: None,
        }
    }

    /// Commits everything.
    pub(super) fn never(inner: &Arc<dyn Store>) -> Self {
        Self::after(inner, usize::MAX)
    }

    /// Commits everything, and nobody hears of it.
    pub(super) fn mute(inner: &Arc<dyn Store>) -> Self {
        Self { is_mute: true, ..Self::never(inner) }
    }

    /// Commits nothing, and keeps it, as a network that is slow.
    pub(super) fn keeping(inner: &Arc<dyn Store>) -> Self {
        Self { kept: Some(Mutex::default()), ..Self::after(inner, 0) }
    }

    /// What was to be committed and is under way.
    pub(super) fn kept(&self) -> Vec<Batch> {
        self.kept.as_ref().map(|kept| std::mem::take(&mut *kept.lock().unwrap())).unwrap_or_default()
    }

    /// The same; and between the first decision and its commit this happens.
    pub(super) fn raced_by(self, other: impl Future<Output = ()> + Send + 'static) -> Self {
        self.race(other);
        self
    }

    /// Lets this happen between the next decision and its commit.
    pub(super) fn race(&self, other: impl Future<Output = ()> + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some(Box::pin(other));
    }

    /// What was to happen before a commit that never came happens no more.
    pub(super) fn calm(&self) {
        *self.meanwhile.lock().unwrap() = None;
    }

    /// Lets the feed seem to stand still, or go on.
    pub(super) fn blind(&self, is_blind: bool) {
        self.is_blind.store(is_blind, Ordering::SeqCst);
    }

    /// The same; and before the first look at a row of this table this happens.
    pub(super) fn raced_before(
        self,
        table: &'static Table,
        other: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self { before_look: Mutex::new(Some((table, Box::pin(other)))), ..self }
    }

    /// What is to happen before these questions are answered.
    fn before(&self, queries: &[Query]) -> Option<Meanwhile> {
        let mut before_look = self.before_look.lock().unwrap();
        let (of, _) = before_look.as_ref()?;
        let looks = |query: &Query| matches!(query, Query::Get { table, .. } if table.name == of.name);
        if queries.iter().any(looks) { before_look.take().map(|(_, other)| other) } else { None }
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cut").field("left", &self.left).finish_non_exhaustive()
    }
}

store_over!(Cut.inner, own {
    async fn read(&self, queries: Vec<Query>) -> Result<Reads, StoreError> {
        if let Some(other) = self.before(&queries) {
            other.await;
        }
        self.inner.read(queries).await
    }

    async fn commit_many(&self, mut batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        let meanwhile = if batches.is_empty() { None } else { self.meanwhile.lock().unwrap().take() };
        if let Some(meanwhile) = meanwhile {
            meanwhile.await;
        }
        let all = batches.len();
        if let Some(kept) = &self.kept {
            kept.lock().unwrap().append(&mut batches);
        }
        let left = self.left.load(Ordering::SeqCst).min(all);
        self.left.fetch_sub(left, Ordering::SeqCst);
        batches.truncate(left);
        let cut_off = || StoreError::Unavailable { reason: "it was cut off".into(), source: None };
        let mut answers = self.inner.commit_many(batches).await;
        for answer in answers.iter_mut().filter(|answer| self.is_mute && answer.is_ok()) {
            *answer = Err(cut_off());
        }
        answers.resize_with(all, || Err(cut_off()));
        answers
    }

    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        if self.is_blind.load(Ordering::SeqCst) {
            return Ok(Changes::new(Vec::new(), after, 0));
        }
        self.inner.changes(after, limit).await
    }
});
