//! An API server that keeps objects in memory, applies by replacing, and writes down every call.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::gateways::Gateway;

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Without the namespace's prefix, such as `services/chat`.
    pub(super) path: String,
    pub(super) query: String,
    pub(super) body: Value,
}

/// What it holds and heard.
#[derive(Default)]
pub(super) struct State {
    pub(super) calls: Vec<Call>,
    /// By path.
    pub(super) objects: BTreeMap<String, Value>,
    /// Paths whose writes are answered with 422.
    pub(super) refuses: Vec<&'static str>,
    /// After a write of a path that begins so, every call fails: whoever called is cut off.
    pub(super) fails_after: Option<&'static str>,
    /// What goes wrong, at which write.
    pub(super) fault: Option<(usize, Fault)>,
    /// Writes so far.
    pub(super) writes: usize,
    /// By address.
    pub(super) gateways: BTreeMap<String, Gateway>,
    cut_off: bool,
    version: u64,
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// It is done, and whoever called dies before there is an answer.
    Death,
    /// It is not done, and the answer says so.
    Failure,
    /// It is done, and the answer says that it is not.
    Silence,
}

/// The server. Clones share their state.
#[derive(Clone, Default)]
pub(super) struct Server(Arc<Mutex<State>>);

impl Server {
    pub(super) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "a")
    }

    /// Looks at the state, or changes it behind the controller's back.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// What was called since this was asked last.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.with(|state| std::mem::take(&mut state.calls))
    }

    /// Changes an object as a hand would, and gives it a new version.
    pub(super) fn edit(&self, path: &str, edit: impl FnOnce(&mut Value)) {
        self.with(|state| {
            state.version += 1;
            let version = state.version.to_string();
            let object = state.objects.get_mut(path).unwrap();
            edit(object);
            object["metadata"]["resourceVersion"] = version.into();
        });
    }

    /// Writes a call down, and does it.
    pub(super) fn take(&self, call: Call) -> (u16, Value) {
        self.with(|state| {
            let answer = state.take(&call);
            state.calls.push(call);
            answer
        })
    }

    async fn answer(&self, request: Request<Body>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let call = Call {
            method: head.method,
            path: short(head.uri.path()),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        let (code, answer) = self.take(call);
        let answer = Full::new(Bytes::from(answer.to_string()));
        Response::builder().status(code).body(answer).unwrap()
    }
}

impl State {
    /// Whether the caller has died. From now on there is another one.
    pub(super) fn revive(&mut self) -> bool {
        std::mem::take(&mut self.cut_off)
    }

    fn take(&mut self, call: &Call) -> (u16, Value) {
        let path = call.path.trim_end_matches("/status");
        if call.method != Method::GET && self.refuses.contains(&path) {
            return (422, status(422, "this cannot be"));
        }
        if self.cut_off && (self.fails_after.is_some() || self.fault.is_some()) {
            return (500, status(500, "cut off"));
        }
        let writes = call.method != Method::GET;
        let last = |prefix| writes && path.starts_with(prefix);
        self.cut_off = self.fails_after.is_some_and(last);
        if writes {
            self.writes += 1;
        }
        let fault = self.fault.filter(|(at, _)| writes && self.writes == *at);
        let Some((_, fault)) = fault else {
            return self.carry_out(path, call);
        };
        self.cut_off = fault == Fault::Death;
        if fault != Fault::Failure {
            self.carry_out(path, call);
        }
        (500, status(500, "cut off"))
    }

    fn carry_out(&mut self, path: &str, call: &Call) -> (u16, Value) {
        match call.method {
            Method::POST | Method::DELETE if path == "drain" => {
                let on = call.method == Method::POST;
                match self.gateways.get_mut(&call.query) {
                    Some(gateway) => gateway.drains = on,
                    None if on => {}
                    None => return (405, Value::Null),
                }
                (200, Value::Null)
            }
            Method::GET => match self.objects.get(path) {
                Some(object) => (200, object.clone()),
                None => (404, status(404, "not found")),
            },
            Method::DELETE => match self.objects.remove(path) {
                Some(_) => (200, status(200, "")),
                None => (404, status(404, "not found")),
            },
            Method::PATCH => (200, self.patch(path, call)),
            Method::POST if path == "pods" => self.create(call),
            // Events, which nobody asks for again.
            _ => (201, call.body.clone()),
        }
    }

    fn create(&mut self, call: &Call) -> (u16, Value) {
        let path = format!("pods/{}", call.body["metadata"]["name"].as_str().unwrap());
        if self.objects.contains_key(&path) {
            return (409, status(409, "already exists"));
        }
        (201, self.patch(&path, call))
    }

    fn patch(&mut self, path: &str, call: &Call) -> Value {
        self.version += 1;
        let object = self
            .objects
            .entry(path.to_owned())
            .or_insert_with(|| json!({}));
        merge(object, &call.body);
        // It has one manager, so what is not applied any more is gone.
        if call.path.ends_with("/status") {
            object["status"] = call.body["status"].clone();
        }
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = self.version.to_string().into();
        if metadata.get("uid").is_none() {
            metadata["uid"] = format!("uid of {path}").into();
        }
        object.clone()
    }
}

/// RFC 7386, which is near enough to an apply by the only manager: what others added stays.
fn merge(object: &mut Value, change: &Value) {
    match (object, change) {
        (Value::Object(object), Value::Object(change)) => {
            for (name, value) in change {
                match value {
                    Value::Null => {
                        object.remove(name);
                    }
                    value => merge(object.entry(name.clone()).or_insert(Value::Null), value),
                }
            }
        }
        (object @ Value::Null, Value::Object(_)) => {
            *object = json!({});
            merge(object, change);
        }
        (object, change) => *object = change.clone(),
    }
}

fn status(code: u16, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "code": code, "message": message,
        "reason": if code == 404 { "NotFound" } else { "Invalid" },
        "status": if code < 300 { "Success" } else { "Failure" },
    })
}

fn short(path: &str) -> String {
    let (_, rest) = path.split_once("/namespaces/a/").unwrap_or(("", path));
    rest.to_owned()
}
