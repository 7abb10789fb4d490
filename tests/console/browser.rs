//! A browser without a window, steered over WebDriver (W3C).

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The member under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub(super) struct Browser {
    driver: Child,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts Chromium.
    pub(super) fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let profile = tempfile::tempdir().unwrap();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("the browser tests need Chromium and chromedriver (apt-get install chromium chromium-driver): {error}")
            });
        let address = format!("http://127.0.0.1:{port}");
        let mut browser = Self { driver, session: String::new(), _profile: profile };
        let arguments = [
            "--headless=new".to_owned(),
            // Tests also run as root, in containers with little shared memory.
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": { "args": arguments },
            "timeouts": { "pageLoad": 60_000, "script": 60_000 },
        } } });
        let end = Instant::now() + Duration::from_secs(60);
        let reply = loop {
            match call("POST", &format!("{address}/session"), Some(&wanted)) {
                Ok(reply) => break reply,
                Err(error) => assert!(Instant::now() < end, "Chromium does not start: {error}"),
            }
            thread::sleep(Duration::from_millis(200));
        };
        browser.session = format!("{address}/session/{}", reply["sessionId"].as_str().unwrap());
        browser
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let result = call("POST", &format!("{}{path}", self.session), Some(body));
        result.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(super) fn open(&self, address: &str) {
        self.post("/url", &json!({ "url": address }));
    }

    /// What a script in the page returns.
    pub(super) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    fn find(&self, selector: &str) -> String {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    pub(super) fn click(&self, selector: &str) {
        let element = self.find(selector);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    /// Waits until the first such element says so. After a key or a click the page before may still be there.
    pub(super) fn shows(&self, selector: &str, text: &str) {
        let script = format!("const at = document.querySelector({}); return at ? at.textContent : ''", json!(selector));
        self.until(text, || self.run(&script).as_str().unwrap_or_default().to_owned());
    }

    /// Waits until it is at an address that ends so.
    pub(super) fn is_at(&self, end: &str) {
        let script = "return location.href.endsWith(arguments[0]) ? arguments[0] : location.href";
        let body = json!({ "script": script, "args": [end] });
        self.until(end, || self.post("/execute/sync", &body).as_str().unwrap_or_default().to_owned());
    }

    fn until(&self, text: &str, found: impl Fn() -> String) {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let found = found();
            if found.trim().starts_with(text) {
                return;
            }
            assert!(Instant::now() < end, "not `{text}`, but `{found}`");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Keys, to whatever has the focus.
    pub(super) fn keys(&self, keys: &str) {
        let active = call("GET", &format!("{}/element/active", self.session), None).unwrap();
        let element = active[ELEMENT].as_str().unwrap();
        self.post(&format!("/element/{element}/value"), &json!({ "text": keys }));
    }

    pub(super) fn forget_cookies(&self) {
        call("DELETE", &format!("{}/cookie", self.session), None).unwrap();
    }

    /// The size of the screen, and the colours that its user prefers.
    pub(super) fn screen(&self, width: u32, height: u32, scheme: &str) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", &media);
    }

    /// A picture of the page, all of it.
    pub(super) fn picture(&self, file: &Path) {
        let picture =
            self.devtools("Page.captureScreenshot", &json!({ "format": "png", "captureBeyondViewport": true }));
        fs::write(file, STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()).unwrap();
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            drop(call("DELETE", &self.session, None));
        }
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

fn call(method: &str, address: &str, body: Option<&Value>) -> Result<Value, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(120)))
        .build()
        .into();
    let request = ureq::http::Request::builder().method(method).uri(address).header("content-type", "application/json");
    let request = request.body(body.map(Value::to_string).unwrap_or_default()).map_err(|error| error.to_string())?;
    let mut response = agent.run(request).map_err(|error| error.to_string())?;
    // A picture of a long page is some megabytes.
    let reply =
        response.body_mut().with_config().limit(64 << 20).read_to_string().map_err(|error| error.to_string())?;
    let reply: Value = serde_json::from_str(&reply).map_err(|error| error.to_string())?;
    let value = reply["value"].clone();
    if response.status().is_success() { Ok(value) } else { Err(value["message"].to_string()) }
}
