//! Reading bodies: never more than allowed, never for longer than allowed.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::StreamExt as _;
use futures::stream::BoxStream;

use super::problem::Problem;

/// Largest document or question.
pub(super) const DOCUMENT_BYTES: u64 = 1 << 20;

/// How long a client may be silent in the middle of a body.
const SILENCE: Duration = Duration::from_secs(30);

/// A body, piece by piece.
pub(super) struct Pieces {
    stream: BoxStream<'static, Result<Bytes, axum::Error>>,
    left: u64,
    limit: u64,
}

impl Pieces {
    /// Reads at most `limit` bytes.
    pub(super) fn new(body: Body, limit: u64) -> Self {
        Self { stream: body.into_data_stream().boxed(), left: limit, limit }
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let piece = match tokio::time::timeout(SILENCE, self.stream.next()).await {
            Err(_) => return Err(Problem::slow()),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err(Problem::bad_request("the body ended early", "send the request again")),
            Ok(Some(Ok(piece))) => piece,
        };
        self.left = self.left.checked_sub(piece.len() as u64).ok_or_else(|| Problem::too_large(self.limit))?;
        Ok(Some(piece))
    }
}

/// The whole body of a document or question.
pub(crate) async fn bytes(body: Body) -> Result<Vec<u8>, Problem> {
    let mut pieces = Pieces::new(body, DOCUMENT_BYTES);
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The same as text.
pub(super) async fn text(body: Body) -> Result<String, Problem> {
    String::from_utf8(bytes(body).await?)
        .map_err(|_| Problem::bad_request("the body is not UTF-8 text", "send it as UTF-8"))
}
