//! What must not compile outside this crate. Each attempt stands beside the nearest thing that does compile, so that it
//! fails for the reason it is meant to fail for.

/// A released table is made by the release stage alone.
///
/// ```
/// fn shown(released: &cleanroom_vault::Released) -> usize { released.columns().len() }
/// ```
/// ```compile_fail
/// fn forged(batch: arrow::array::RecordBatch) -> cleanroom_vault::Released {
///     cleanroom_vault::Released { columns: Vec::new(), batch, rows: Vec::new(), ipc: Vec::new(), notes: Vec::new(), cost: Vec::new() }
/// }
/// ```
/// ```compile_fail
/// fn forged(batch: arrow::array::RecordBatch) -> cleanroom_vault::Released {
///     cleanroom_vault::Released::new(Vec::new(), batch, Vec::new(), Vec::new(), Vec::new())
/// }
/// ```
pub(crate) struct Released;

/// An answer is recorded before it can be sent: the only success there is holds a `Recorded`.
///
/// ```
/// use cleanroom_registry::Recorded;
/// fn answer(released: Recorded<cleanroom_vault::Released>) -> cleanroom_vault::Decision {
///     cleanroom_vault::Decision::Released(released)
/// }
/// ```
/// ```compile_fail
/// fn unrecorded(released: cleanroom_vault::Released) -> cleanroom_vault::Decision {
///     cleanroom_vault::Decision::Released(released)
/// }
/// ```
/// ```compile_fail
/// use cleanroom_registry::{ReceiptRef, Recorded};
/// fn forged<T>(value: T, receipt: ReceiptRef) -> Recorded<T> { Recorded { value, receipt } }
/// ```
/// ```compile_fail
/// use cleanroom_registry::{ReceiptRef, Recorded};
/// fn forged<T>(value: T, receipt: ReceiptRef) -> Recorded<T> { Recorded::new(value, receipt) }
/// ```
pub(crate) struct Recorded;

/// A reservation comes from the registry, and is good for one run.
///
/// ```
/// fn looked_at(reservation: &cleanroom_registry::Reservation) -> String { reservation.query_id().to_string() }
/// ```
/// ```compile_fail
/// fn forged(query_id: cleanroom_registry::QueryId) -> cleanroom_registry::Reservation {
///     cleanroom_registry::Reservation { query_id }
/// }
/// ```
/// ```compile_fail
/// fn twice(one: &cleanroom_registry::Reservation) -> cleanroom_registry::Reservation { one.clone() }
/// ```
pub(crate) struct Reservation;

/// Stages that hold rows, exact values or the checker's verdict have no name outside.
///
/// ```
/// use cleanroom_vault::Vault;
/// ```
/// ```compile_fail
/// use cleanroom_vault::ExactAggregate;
/// ```
/// ```compile_fail
/// use cleanroom_vault::execute::ExactAggregate;
/// ```
/// ```compile_fail
/// use cleanroom_vault::CheckedQuery;
/// ```
pub(crate) struct Stages;
