//! The fan-in of a run: its last image is resized, and it goes on.

use super::{ControlPlane, of_run, updated};
use crate::entity::{
    Entity as _, Entry, RunEvent, RunState, TRAINING_IMAGES, TRAINING_RUN_IMAGES, TRAINING_RUNS,
    TrainingImage, TrainingImageEvent, TrainingImageId, TrainingImageState, TrainingRun, TrainingRunImage,
};
use crate::error::{Error, Result};
use crate::plane::decided::Decided;
use crate::store::{Answer, Batch, Change, Is, Query, Scan, Test, Write};
use crate::time::Timestamp;

impl ControlPlane {
    /// Takes note that the copy of an image that is trained with is there. The one that is the last of a run carries it on, in the
    /// same batch, so that it goes on exactly once. Saying it again changes nothing.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` for an image that is not uploaded.
    #[tracing::instrument(skip(self))]
    pub async fn resize_image(&self, id: TrainingImageId) -> Result<Entry<TrainingImage>> {
        self.decided("training_image.resize", TrainingImage::KIND, || async move {
            let copies = Scan::of(&TRAINING_RUN_IMAGES).by("training_run_images_image").with(id).limit(2);
            let queries = vec![Query::Get { table: &TRAINING_IMAGES, key: id.into() }, Query::Scan(copies)];
            let reads = self.store.read(queries).await?;
            let now = reads.now;
            let mut rows = reads.answers.into_iter().map(Answer::into_rows);
            let row = rows.next().unwrap_or_default().pop();
            let row = row.ok_or_else(|| Error::not_found(TrainingImage::KIND, id))?;
            let mut image = TrainingImage::from_row(&row)?;
            if image.state == TrainingImageState::Resized {
                return Ok(Decided::Done(Entry::new(image, row.revision())));
            }
            (image.state, image.updated_at) = (image.state.on(TrainingImageEvent::Resize)?, now);
            let mut batch = self.batch("training_image.resize");
            // Whoever copies the image for a run writes this row too: no run counts it that was not seen here.
            batch.push(Write::update(&TRAINING_IMAGES, id, row.revision(), image.plain()));
            for copy in rows.next().unwrap_or_default() {
                self.count_down(&mut batch, &TrainingRunImage::from_row(&copy)?, now).await?;
            }
            Ok(Decided::Commit(Entry::new(image, row.revision() + 1), batch))
        })
        .await
    }

    /// Adds that a run has one image less to wait for.
    async fn count_down(&self, batch: &mut Batch, copy: &TrainingRunImage, now: Timestamp) -> Result<()> {
        let (entry, _) = self.run_of(copy.run_id).await?;
        if entry.images_left != 1 {
            // Any number of them may count at the same time, as long as it is not the last one that is counted, and the run has not
            // ended: an ended one is not changed any more.
            let state = Test::eq("state", entry.state.as_str());
            let not_the_last = Test::new("images_left", Is::Gt(1_i64.into()));
            let less = vec![("images_left", Change::Add(-1))];
            batch.push(Write::patch(&TRAINING_RUNS, entry.id, vec![state, not_the_last], less));
            return Ok(());
        }
        let mut run: TrainingRun = entry.value.clone();
        if run.state == RunState::Preparing {
            self.turn_run(&mut run, RunEvent::Ready, now)?;
            batch.push(self.log(of_run("run.advance", &run, run.state.as_str()), now));
        }
        // In every other state too: who lets a queued run go on has to see that none is left.
        run.updated_at = now;
        batch.push(updated(&entry, &run));
        batch.push(Write::record(&TRAINING_RUNS, run.id, "images_left", -1));
        Ok(())
    }
}
