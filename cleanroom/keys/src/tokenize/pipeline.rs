//! Who does what: one reads, many tokenise and encode, one writes in the order that was read.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::columns::{Column, Counts, Untokenised};
use super::error::{DAMAGED, Place, REMEDY};
use super::output::{Encoder, Output, RowGroup};
use super::source::{Chunk, Places, Source};
use super::{TokenizeError, TokenizeOptions};
use crate::progress::Progress;

/// What is the same for all chunks.
pub(super) struct Work<'a> {
    pub(super) options: &'a TokenizeOptions,
    pub(super) columns: Vec<Column>,
    pub(super) input_schema: SchemaRef,
    pub(super) output_schema: SchemaRef,
    pub(super) encoder: Encoder,
}

/// A chunk that waits, and where its outcome is waited for.
struct Job {
    chunk: Chunk,
    read: (u64, u64),
    reply: SyncSender<Outcome>,
}

type Outcome = Result<Done, TokenizeError>;

struct Done {
    group: RowGroup,
    rows: u64,
    counts: Counts,
    read: (u64, u64),
}

/// Tokenises a file. Where several chunks are bad, the error is that of the first in the file.
pub(super) fn run(
    threads: usize,
    source: Source,
    work: &Work<'_>,
    output: &mut Output,
    progress: &dyn Progress,
) -> Result<(u64, Counts), TokenizeError> {
    let (jobs, waiting) = sync_channel::<Job>(1);
    // Chunks in memory: those that wait here for their turn, and the one in the reader's hands.
    let (replies, outcomes) = sync_channel::<Receiver<Outcome>>(threads + 1);
    let waiting = Mutex::new(waiting);
    thread::scope(|scope| {
        let reader = scope.spawn(move || read(source, &jobs, &replies));
        for _ in 0..threads {
            scope.spawn(|| work_off(&waiting, work));
        }
        let mut total = (0, Counts::default());
        // Leaving the loop drops `outcomes`, at which the reader stops, at which the others have nothing to wait for.
        for outcome in outcomes {
            let given_up =
                |_gone| TokenizeError::options("a thread ended before its work was done", "report this as an error");
            let done = outcome.recv().map_err(given_up)??;
            output.append(done.group)?;
            total.0 += done.rows;
            total.1.tokenised += done.counts.tokenised;
            total.1.nulls += done.counts.nulls;
            total.1.bad += done.counts.bad;
            progress.report(done.read.0, done.read.1);
        }
        // The decoders of damaged files are not trusted to end with an error only.
        match reader.join() {
            Ok(()) => Ok(total),
            Err(_panic) => Err(TokenizeError::input(&work.options.input, DAMAGED, REMEDY)),
        }
    })
}

fn read(mut source: Source, jobs: &SyncSender<Job>, replies: &SyncSender<Receiver<Outcome>>) {
    loop {
        let next = source.next();
        let (reply, outcome) = sync_channel(1);
        if matches!(next, Ok(None)) || replies.send(outcome).is_err() {
            return;
        }
        match next {
            Ok(Some(chunk)) => {
                if jobs.send(Job { chunk, read: source.progress(), reply }).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                // Nobody listens when an earlier chunk has failed.
                let _unheard = reply.send(Err(error));
                return;
            }
        }
    }
}

fn work_off(waiting: &Mutex<Receiver<Job>>, work: &Work<'_>) {
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { chunk, read, reply }) = job else {
            return;
        };
        let _unheard = reply.send(work.tokenise(chunk, read));
    }
}

impl Work<'_> {
    fn tokenise(&self, chunk: Chunk, read: (u64, u64)) -> Outcome {
        let input = &self.options.input;
        let damaged = || TokenizeError::input(input, DAMAGED, REMEDY);
        let (batch, places) = chunk.into_batch(input, &self.input_schema)?;
        let mut arrays = batch.columns().to_vec();
        let mut counts = Counts::default();
        for column in &self.columns {
            let identifiers = arrays.get_mut(column.index).ok_or_else(damaged)?;
            let (tokens, of_column) = column
                .tokens(&self.options.key, identifiers, self.options.skip_bad)
                .map_err(|why| self.untokenised(column, &places, &why))?;
            *identifiers = tokens;
            counts.tokenised += of_column.tokenised;
            counts.nulls += of_column.nulls;
            counts.bad += of_column.bad;
        }
        let batch = RecordBatch::try_new(self.output_schema.clone(), arrays).map_err(|_detail| damaged())?;
        let group = self.encoder.encode(&batch).map_err(|_detail| {
            TokenizeError::output(
                &self.options.output,
                "the rows cannot be written as Parquet",
                "report this as an error",
            )
        })?;
        Ok(Done { group, rows: batch.num_rows() as u64, counts, read })
    }

    fn untokenised(&self, column: &Column, places: &Places, why: &Untokenised) -> TokenizeError {
        let at = |place| Place::Column(Box::new(place), column.name.clone());
        let (place, what, remedy) = match why {
            Untokenised::Unfit { row, why } => (
                at(places.of(*row)),
                why.to_string(),
                "correct the value, or leave such values empty with `--skip-bad`",
            ),
            Untokenised::AlreadyToken { row } => (
                at(places.of(*row)),
                "it is a token already, or begins like one".to_owned(),
                "do not tokenise a column twice",
            ),
            Untokenised::Unreadable => {
                (at(Place::File), "it cannot be read as text".to_owned(), "write it as text or as whole numbers")
            }
        };
        TokenizeError::input_at(&self.options.input, place, what, remedy)
    }
}
