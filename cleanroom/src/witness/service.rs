//! A witness over HTTP (C2SP tlog-witness).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::post;
use cleanroom_verify::{ADD_CHECKPOINT, NotAccepted, SUBMISSION_LIMIT, TREE_SIZE_MEDIA};
use futures::StreamExt as _;

use super::{Declined, Witness};

/// How long a body may take to arrive.
const BODY: Duration = Duration::from_secs(10);

const TOO_LONG: &str = "the body is longer than any checkpoint with its proof\n";
const TEXT: &str = "text/plain; charset=utf-8";

/// Everything that a witness answers.
pub(crate) fn router(witness: Arc<Witness>) -> Router {
    Router::new().route(ADD_CHECKPOINT, post(add_checkpoint)).with_state(witness)
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: Body) -> Response {
    let mut bytes = Vec::new();
    let body = match tokio::time::timeout(BODY, collect(body, &mut bytes)).await {
        Ok(Ok(())) => bytes,
        Ok(Err((status, why))) => return answer(status, TEXT, why),
        Err(_) if bytes.len() > SUBMISSION_LIMIT => return answer(StatusCode::PAYLOAD_TOO_LARGE, TEXT, TOO_LONG),
        Err(_) => return answer(StatusCode::REQUEST_TIMEOUT, TEXT, "the body did not arrive in time\n"),
    };
    let cosigned = tokio::task::spawn_blocking(move || match std::str::from_utf8(&body) {
        Ok(text) => witness.cosign(text),
        Err(_) => Err(NotAccepted::Malformed.into()),
    });
    match cosigned.await {
        Ok(Ok(line)) => {
            tracing::info!("cosigned");
            answer(StatusCode::OK, TEXT, &line)
        }
        Ok(Err(Declined::NotAccepted(why))) => {
            tracing::warn!(%why, "not cosigned");
            let status = StatusCode::from_u16(why.status()).unwrap_or(StatusCode::BAD_REQUEST);
            match why {
                NotAccepted::Conflict { size } => answer(status, TREE_SIZE_MEDIA, &format!("{size}\n")),
                why => answer(status, TEXT, &format!("{why}\n")),
            }
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "nothing can be cosigned");
            answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the witness cannot remember, so it does not sign\n")
        }
        Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the witness failed\n"),
    }
}

/// Reads a body. One that is too long is read to its end and thrown away: where the connection were closed on what is still under
/// way, whoever sends it would see a broken connection and not why.
async fn collect(body: Body, bytes: &mut Vec<u8>) -> Result<(), (StatusCode, &'static str)> {
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| (StatusCode::BAD_REQUEST, "the body ended early\n"))?;
        // One byte more than is allowed tells that it is too long.
        let room = (SUBMISSION_LIMIT + 1).saturating_sub(bytes.len());
        bytes.extend(piece.iter().take(room));
    }
    if bytes.len() > SUBMISSION_LIMIT { Err((StatusCode::PAYLOAD_TOO_LARGE, TOO_LONG)) } else { Ok(()) }
}

fn answer(status: StatusCode, media: &'static str, body: &str) -> Response {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
