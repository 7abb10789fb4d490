//! Work that recurses with the depth of a statement runs on a thread of its own with a deep stack: the stack of a server's
//! worker would overflow, and that ends the process.

use std::future::Future;
use std::thread;

use datafusion::common::{DataFusionError, internal_datafusion_err};
use tokio::sync::oneshot;

/// Bytes of address space; only what is used is backed by memory.
const STACK: usize = 256 * 1024 * 1024;

/// Stack of a thread that executes queries, in bytes: expressions of the longest statement that is admitted are evaluated
/// recursively. Give it to the runtime that [`crate::Vault`] is used on.
pub const WORKER_STACK: usize = 32 * 1024 * 1024;

/// Runs `work` and gives its result, or an error where it panicked or no thread could be had.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, DataFusionError> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("deep".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            // The receiver is gone where the query was cancelled: then nobody wants the result.
            drop(sender.send(work()));
        })
        .map_err(|error| internal_datafusion_err!("no thread: {}", error.kind()))?;
    receiver.await.map_err(|_dropped| internal_datafusion_err!("a panic on a planning thread"))
}

/// The same for asynchronous work, which may use the runtime it is called from.
pub(crate) async fn run_async<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, DataFusionError> {
    let runtime = tokio::runtime::Handle::current();
    run(move || runtime.block_on(work)).await
}
