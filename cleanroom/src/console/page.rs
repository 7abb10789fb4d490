//! The frame of every page, and small parts that pages share.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use cleanroom_policy::{Ability, Room};
use cleanroom_registry::RegistryError;
use cleanroom_vault::Unavailable;
use maud::{DOCTYPE, Markup, html};

use super::form::TOKEN;
use super::session::Visitor;
use crate::http::Problem;
use crate::render::visible;

/// The pages of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Tables,
    Catalog,
    Ask,
    Questions,
    Budgets,
    Log,
}

impl Tab {
    const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::Overview, "Overview", ""),
        (Self::Tables, "Tables", "/tables"),
        (Self::Catalog, "Catalog", "/catalog"),
        (Self::Ask, "Ask", "/ask"),
        (Self::Questions, "Questions", "/queries"),
        (Self::Budgets, "Budgets", "/budgets"),
        (Self::Log, "Log", "/log"),
    ];

    /// Whether there is anything behind it for this visitor; the pages themselves decide what is shown.
    fn serves(self, visitor: &Visitor, room: &Room) -> bool {
        match self {
            Self::Overview | Self::Tables | Self::Budgets | Self::Log => true,
            Self::Catalog => !visitor.is_admin(),
            Self::Ask | Self::Questions => !visitor.is_admin() && may_ask(visitor, room),
        }
    }
}

/// Whether the visitor's partner may ask questions in the room.
pub(super) fn may_ask(visitor: &Visitor, room: &Room) -> bool {
    let partner = visitor.caller.partner().and_then(|partner| room.partner(partner));
    partner.is_some_and(|partner| partner.abilities.contains(&Ability::Query))
}

/// A page to be.
pub(super) struct Page<'a> {
    title: String,
    visitor: Option<&'a Visitor>,
    room: Option<(&'a Room, Tab)>,
    status: StatusCode,
}

impl<'a> Page<'a> {
    /// A page of somebody who is signed in.
    pub(super) fn new(title: impl Into<String>, visitor: &'a Visitor) -> Self {
        Self { title: title.into(), visitor: Some(visitor), room: None, status: StatusCode::OK }
    }

    /// A page for everybody.
    pub(super) fn open(title: impl Into<String>) -> Self {
        Self { title: title.into(), visitor: None, room: None, status: StatusCode::OK }
    }

    /// It is of a room.
    pub(super) fn of(self, room: &'a Room, tab: Tab) -> Self {
        Self { room: Some((room, tab)), ..self }
    }

    pub(super) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The page with its content; the title is its first heading.
    pub(super) fn show(self, content: &Markup) -> Response {
        let room = self.room.map(|(room, _)| room.name.to_string());
        let markup = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (text(&self.title)) @if let Some(room) = &room { " · " (room) } " · cleanroom" }
                    link rel="stylesheet" href="/console/style.css";
                    link rel="icon" href="data:,";
                }
                body {
                    a.skip href="#content" { "Skip to the content" }
                    header.top {
                        div.inner {
                            a.brand href="/console" { "cleanroom" }
                            @if let Some(visitor) = self.visitor { (account(visitor)) }
                        }
                    }
                    @if let (Some((room, tab)), Some(visitor)) = (self.room, self.visitor) { (tabs(visitor, room, tab)) }
                    main #content tabindex="-1" {
                        h1 { (text(&self.title)) }
                        (content)
                    }
                }
            }
        };
        let mut response = (self.status, markup.into_string()).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        response
    }
}

fn account(visitor: &Visitor) -> Markup {
    html! {
        div.account {
            span.who { "Signed in as " strong { (text(visitor.name())) } }
            form method="post" action="/console/sign-out" {
                (form_token(visitor))
                button.quiet type="submit" { "Sign out" }
            }
        }
    }
}

fn tabs(visitor: &Visitor, room: &Room, current: Tab) -> Markup {
    html! {
        nav.tabs aria-label={ "Room " (room.name) } {
            div.inner {
                span.room { (room.name) }
                ul {
                    @for (tab, word, path) in Tab::ALL {
                        @if tab.serves(visitor, room) {
                            li {
                                a href={ "/console/rooms/" (room.name) (path) } aria-current=[(tab == current).then_some("page")] { (word) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The hidden field of a form.
pub(super) fn form_token(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name=(TOKEN) value=(visitor.form_token()); }
}

/// A text of anybody's, with its control characters made visible.
pub(super) fn text(text: &str) -> String {
    visible(text)
}

/// The same of a text of several lines.
pub(super) fn lines(text: &str) -> String {
    text.split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .map(|line| line.split('\t').map(visible).collect::<Vec<_>>().join("    "))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A sentence in which names stand between backticks.
pub(super) fn sentence(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    // An odd one out is no pair: nothing is marked up then.
    if parts.len().is_multiple_of(2) {
        return html! { (visible(text)) };
    }
    html! {
        @for (place, part) in parts.iter().enumerate() {
            @if place % 2 == 1 { code { (visible(part)) } } @else { (visible(part)) }
        }
    }
}

/// A sentence as it begins.
fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// A time for people: to the minute, in UTC. `full` is RFC 3339.
pub(super) fn moment(full: &str) -> Markup {
    let shown = match (full.get(..10), full.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute}"),
        _ => full.to_owned(),
    };
    html! { time datetime=(full) title={ (full) " (UTC)" } { (shown) } }
}

/// A table that may be wider than a phone: it scrolls by itself, by keyboard too.
pub(super) fn wide(label: &str, table: &Markup) -> Markup {
    html! { div.wide role="region" aria-label=(label) tabindex="0" { (table) } }
}

/// The address of a room's page.
pub(super) fn room_path(room: &Room, rest: &str) -> String {
    format!("/console/rooms/{}{rest}", room.name)
}

/// A page that is not shown as asked.
pub(super) struct Failed(Problem);

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<RegistryError> for Failed {
    fn from(error: RegistryError) -> Self {
        Self(error.into())
    }
}

impl From<Unavailable> for Failed {
    fn from(error: Unavailable) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = self.0.status();
        let heading = match status {
            StatusCode::NOT_FOUND => "Nothing here",
            StatusCode::FORBIDDEN => "Not permitted",
            StatusCode::SERVICE_UNAVAILABLE => "Too busy",
            status if status.is_server_error() => "That failed",
            _ => "That does not work",
        };
        let (detail, help) = self.0.words();
        let content = html! {
            p { (sentence(&capital(detail))) "." }
            @if !help.is_empty() { p { "What to do: " (sentence(help)) "." } }
            p { a href="/console" { "To the rooms" } }
        };
        Page::open(heading).status(status).show(&content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shown_and_never_obeyed() {
        assert_eq!(html! { (text("<script>\u{202e}\u{0}")) }.into_string(), "&lt;script&gt;\\u{202e}\\u{0}");
        assert_eq!(lines("a\tb\r\n\u{1b}c"), "a    b\n\\u{1b}c");
        assert_eq!(sentence("`a<b` is `c`").into_string(), "<code>a&lt;b</code> is <code>c</code>");
        assert_eq!(sentence("a ` b").into_string(), "a ` b");
    }
}
