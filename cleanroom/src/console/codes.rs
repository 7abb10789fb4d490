//! What a refusal means, and what to do.

use axum::extract::Path;
use axum::response::Response;
use cleanroom_vault::Code;
use maud::html;

use super::page::{Failed, Page, sentence};
use super::session::Visitor;
use crate::http::Problem;

/// The page of one code.
pub(super) async fn page(visitor: Visitor, Path(code): Path<String>) -> Result<Response, Failed> {
    let code = Code::ALL.iter().find(|known| known.as_str() == code).ok_or_else(Problem::not_found)?;
    let guide = code.guide();
    let content = html! {
        p.lead { (sentence(guide.meaning)) }
        h2 { "What to do" }
        p { (sentence(guide.action)) }
        @if let Some(example) = guide.example {
            h2 { "An example" }
            p { "This is refused so:" }
            pre.sql tabindex="0" { code { (example) } }
        }
        p.help { "A refusal depends on the question, the policies and the tables' columns alone, never on a row." }
    };
    Ok(Page::new(format!("{}: {}", code.as_str(), code.title()), &visitor).show(&content))
}
