//! Stores that are another one in everything but their commits: [`store_over`].

/// Makes a type a store: what it does when batches are committed follows, and everything else the store in its field does. Or with
/// `own` all of what it does to read rows, to commit batches, and to tell of changes.
macro_rules! store_over {
    ($store:ident . $inner:tt { $($commit_many:tt)+ }) => {
        $crate::store::store_over!($store.$inner, own {
            async fn read(
                &self,
                queries: Vec<$crate::store::Query>,
            ) -> Result<$crate::store::Reads, $crate::store::StoreError> {
                self.$inner.read(queries).await
            }

            $($commit_many)+

            async fn changes(
                &self,
                after: $crate::store::Cursor,
                limit: u32,
            ) -> Result<$crate::store::Changes, $crate::store::StoreError> {
                self.$inner.changes(after, limit).await
            }
        });
    };
    ($store:ident . $inner:tt, own { $($own:tt)+ }) => {
        #[async_trait::async_trait]
        impl $crate::store::Store for $store {
            fn schema(&self) -> &$crate::store::Schema {
                self.$inner.schema()
            }

            async fn snapshot(
                &self,
            ) -> Result<std::sync::Arc<dyn $crate::store::Snapshot>, $crate::store::StoreError> {
                self.$inner.snapshot().await
            }

            $($own)+

            async fn resolve(
                &self,
                id: uuid::Uuid,
            ) -> Result<$crate::store::Resolution, $crate::store::StoreError> {
                self.$inner.resolve(id).await
            }

            async fn prune(
                &self,
                prune: $crate::store::Prune,
            ) -> Result<$crate::store::Pruned, $crate::store::StoreError> {
                self.$inner.prune(prune).await
            }

            async fn close(&self) -> Result<(), $crate::store::StoreError> {
                self.$inner.close().await
            }

            fn syncs(&self) -> Option<u64> {
                self.$inner.syncs()
            }
        }
    };
}
pub(crate) use store_over;
