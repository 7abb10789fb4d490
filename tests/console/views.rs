//! Every view in Chromium: by keyboard, in light and dark, on a desk and on a phone. Pictures are left in the folder
//! `console` of the tests' temporary folder, to be looked at.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::browser::Browser;
use super::{BY_DAY, BY_DEPARTMENT, Client, HOSTILE, NOISY, REFUSED, Scene, charge_days};
use crate::server::{Server, data_dir};

const CHECK: &str = include_str!("check.js");
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Looks at the page that is open, on every screen.
fn look(browser: &Browser, name: &str, problems: &mut Vec<String>) {
    for (width, height) in [(1280, 800), (390, 844)] {
        for scheme in ["light", "dark"] {
            browser.screen(width, height, scheme);
            browser.picture(&pictures().join(format!("{name}-{width}-{scheme}.png")));
            let found = browser.run(CHECK);
            let found = found.as_array().unwrap().iter();
            problems.extend(found.map(|what| format!("{name}, {width} wide, {scheme}: {}", what.as_str().unwrap())));
            // The check opens what can be opened; the next picture is of the page as it comes.
            browser.run("document.querySelectorAll('details').forEach(details => { details.open = false; })");
        }
    }
    browser.screen(1280, 800, "light");
}

fn sign_in(browser: &Browser, server: &Server, token: &str) {
    browser.forget_cookies();
    browser.open(&format!("{}/console", server.address()));
    browser.shows("h1", "Sign in");
    browser.run("document.getElementById('token').focus()");
    browser.keys(&format!("{token}{ENTER}"));
    browser.shows("h1", "Rooms");
}

#[test]
fn every_view_is_good_to_look_at_and_to_use() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let scene = Scene::set(&server);
    let agency = Client::signed_in(&server, &scene.agency);
    let answered = agency.ask(BY_DEPARTMENT, "ask");
    let noisy = agency.ask(NOISY, "ask");
    let over_days = agency.ask(BY_DAY, "ask");
    let priced = agency.ask(NOISY, "dry");
    let refused = agency.ask(REFUSED, "dry");
    charge_days(&data);
    let browser = Browser::start();
    let mut problems = Vec::new();
    let mut visit = |name: &str, path: &str| {
        browser.open(&format!("{}{path}", server.address()));
        look(&browser, name, &mut problems);
    };

    visit("sign-in", "/console/sign-in");

    sign_in(&browser, &server, &scene.retailer);
    visit("owner-rooms", "/console");
    visit("owner-room", "/console/rooms/spring");
    visit("owner-tables", "/console/rooms/spring/tables");
    visit("owner-table", "/console/rooms/spring/tables/retailer.purchases");
    visit("owner-table-noise", "/console/rooms/spring/tables/retailer.visits");
    visit("owner-budgets", "/console/rooms/spring/budgets");

    sign_in(&browser, &server, &scene.agency);
    visit("analyst-catalog", "/console/rooms/spring/catalog");
    visit("analyst-ask", "/console/rooms/spring/ask");
    visit("analyst-template", "/console/rooms/spring/ask?template=reach");
    visit("analyst-questions", "/console/rooms/spring/queries");
    visit("analyst-answer", &answered);
    visit("analyst-answer-noisy", &noisy);
    visit("analyst-answer-days", &over_days);
    visit("analyst-dry-run", &priced);
    visit("analyst-refused", &refused);
    visit("analyst-code", "/console/codes/CR2104");
    visit("analyst-table", "/console/rooms/spring/tables/retailer.purchases");
    visit("nothing-here", "/console/rooms/nonesuch");

    sign_in(&browser, &server, &scene.inspector);
    visit("auditor-log", "/console/rooms/spring/log");
    visit("auditor-log-filtered", "/console/rooms/spring/log?type=query.intent&partner=agency");
    visit("auditor-entry", "/console/rooms/spring/log/3");
    visit("auditor-checkpoint", "/console/rooms/spring/log/checkpoint");
    browser.open(&format!("{}/console/rooms/spring/log/checkpoint", server.address()));
    browser.click("form[action$='/log/verify'] button");
    browser.shows("#verdict", "Verified by the server");
    look(&browser, "auditor-verified", &mut problems);

    assert!(problems.is_empty(), "{} findings:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn all_is_done_by_keyboard() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let scene = Scene::set(&server);
    let browser = Browser::start();
    let focus = || browser.run("const at = document.activeElement; return at.id || at.textContent.trim()");
    let tab_to = |wanted: &str| {
        for _ in 0..60 {
            if focus() == wanted {
                return;
            }
            browser.keys(TAB);
        }
        panic!("the keyboard does not come to {wanted}, but to {}", focus());
    };

    browser.open(&format!("{}/console/rooms/spring", server.address()));
    browser.keys(TAB);
    assert_eq!(focus(), "Skip to the content", "the first thing that the keyboard comes to");
    browser.keys(ENTER);
    assert_eq!(focus(), "content");
    browser.keys(TAB);
    assert_eq!(focus(), "token");
    browser.keys(&format!("{}{ENTER}", scene.agency));
    // Back to where one wanted to go.
    browser.is_at("/console/rooms/spring");
    browser.shows("h1", "spring");

    // A question that is refused, looked at, changed, tried and asked.
    browser.keys(TAB);
    tab_to("Ask");
    browser.keys(ENTER);
    browser.shows("h1", "Ask");
    tab_to("sql");
    browser.keys("SELECT person FROM retailer.purchases");
    tab_to("Dry run");
    browser.keys(ENTER);
    browser.shows("#verdict", "Refused");
    assert_eq!(browser.run("return document.querySelectorAll('mark').length"), json!(1));
    let hostile = format!(
        "SELECT department AS \"{HOSTILE}\", COUNT(DISTINCT person) AS n FROM retailer.purchases GROUP BY department"
    );
    browser.keys(TAB);
    tab_to("sql");
    browser.run("document.getElementById('sql').select()");
    browser.keys(&hostile);
    tab_to("Ask");
    // The first of that name leads to this page; the button stands in the form.
    browser.run("document.querySelector('form.ask button[value=ask]').focus()");
    browser.keys(ENTER);
    browser.shows("#verdict", "Answered");
    // What a statement says is text.
    browser.shows("table.answer th", HOSTILE);
    assert_eq!(browser.run("return document.querySelectorAll('script').length"), json!(0));
    assert_eq!(browser.run("return document.querySelectorAll('svg .bar').length"), json!(4));
    assert_ne!(browser.run("return document.title"), Value::Null);
    tab_to("Sign out");
    browser.keys(ENTER);
    browser.is_at("/console/sign-in");
}

/// The check is worth something: it finds what is put wrong.
#[test]
fn what_is_wrong_is_found() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let scene = Scene::set(&server);
    let browser = Browser::start();
    browser.open(&format!("{}/console", server.address()));
    sign_in(&browser, &server, &scene.inspector);
    for (wrong, finding) in [
        ("document.documentElement.removeAttribute('lang')", "no language"),
        ("document.title = ''", "no title"),
        ("document.querySelector('label').remove()", "a field has no label"),
        ("document.querySelector('caption').remove()", "no caption"),
        ("document.querySelector('th').removeAttribute('scope')", "no scope"),
        ("document.querySelector('h1').outerHTML = '<h3>Log</h3>'", "skips a level"),
        ("document.querySelector('td').id = 'content'", "an id stands twice"),
        ("document.querySelector('th a').textContent = ''", "nothing says what it does"),
        ("document.querySelector('.lead').style.color = '#999'", "text has a contrast"),
        ("document.querySelector('.wide').style.width = '2000px'", "the page is"),
        ("document.querySelector('.button').style.outline = 'none'", "its focus is not seen"),
        (
            "document.querySelector('.wide').removeAttribute('tabindex'); document.querySelector('.wide').style.width = '9rem'",
            "it scrolls, and not by keyboard",
        ),
        ("document.body.append(document.createElement('div'))", "outside of all landmarks"),
        ("document.querySelector('h1').innerHTML += '<svg></svg>'", "a drawing has no words"),
    ] {
        browser.open(&format!("{}/console/rooms/spring/log", server.address()));
        browser.screen(1280, 800, "light");
        assert_eq!(browser.run(CHECK), json!([]), "before anything is put wrong");
        browser.run(wrong);
        let found = browser.run(CHECK).to_string();
        assert!(found.contains(finding), "{wrong}: {found}");
    }
}
