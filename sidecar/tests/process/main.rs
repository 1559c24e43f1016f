//! The real process: its ports, its signals, its configuration file.

#![allow(clippy::disallowed_methods)]

mod compression;
mod gateway;
mod tls;

use std::process::Command;
use std::time::Duration;

use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;

use self::gateway::{API_KEY, Directory, Gateway, TOKEN, free_ports};

#[tokio::test]
async fn the_admin_port_tells_how_it_is() {
    let gateway = Gateway::start(|config| config["limits"] = json!({"connections": 500})).await;
    let mut client = gateway.client("ann").await;
    client.subscribe("chat.a").await;
    assert_eq!(gateway.admin("/live").await.status, 200);
    let ready = gateway.admin("/ready").await.json();
    assert_eq!(
        ready,
        json!({
            "ready": true, "listening": true, "keys": true, "drain": "serving",
            "degraded": false, "sessions": 1,
        })
    );
    let load = gateway.admin("/load").await.json();
    assert_eq!(load["node"], "pod-1");
    assert_eq!(load["connections"], 1);
    assert_eq!(load["capacity"]["connections"], 500);
    assert_eq!(load["capacity"]["nofile"], load["capacity"]["nofileHard"]);
    assert_eq!(load["handshakes"]["total"], 1);
    assert_eq!(load["largestTopic"], 1);
    assert!(load["messagesIn"]["total"].as_u64() >= Some(1), "{load}");
    assert!(load["cpuSeconds"].as_f64() > Some(0.0), "{load}");
    assert!(load["cpuCores"].as_f64() >= Some(0.0), "{load}");
    assert_eq!(load["reactors"], 2);
    let keepalive = &load["sysctls"]["net.ipv4.tcp_keepalive_time"];
    assert!(keepalive.as_str().is_some(), "{load}");
    assert!(load["memory"]["residentBytes"].as_u64() > Some(0), "{load}");
    for metric in [
        "wse_sessions",
        "wse_sessions_opened_total",
        "wse_handshakes_total{outcome=\"upgraded\"}",
    ] {
        assert!(
            (gateway.metric(metric).await - 1.0).abs() < f64::EPSILON,
            "{metric}"
        );
    }
    assert!(gateway.metric("process_open_fds").await > 0.0);
}

#[tokio::test]
async fn backends_reach_clients() {
    let gateway = Gateway::start(|_| {}).await;
    let mut client = gateway.client("ann").await;
    let ack = client.subscribe("chat.a").await;
    assert_eq!(ack["success"], true, "{ack}");
    let post = async |path: &str, body: Value| {
        let answer = gateway.api(Method::POST, path, &body.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.headers["x-wse-node"], "pod-1");
        answer.json()
    };
    let message = |n| json!({"t": "note", "p": {"n": n}});
    let published = post(
        "/publish",
        json!({"topic": "chat.a", "message": message(1)}),
    )
    .await;
    assert_eq!(published["offset"], 1);
    let epoch = published["epoch"].as_str().unwrap();
    assert_eq!(epoch.len(), 8);
    let item = |n| json!({"topic": "chat.a", "message": message(n)});
    let batch = post(
        "/publish/batch",
        json!({"publications": [item(2), item(3)]}),
    )
    .await;
    assert_eq!(batch["results"][1], json!({"epoch": epoch, "offset": 3}));
    for n in 1..=3 {
        let note = client.receive("note").await;
        assert_eq!(note["p"]["n"], n);
        assert_eq!(note["c"], "U");
    }
    for (path, n) in [
        ("/broadcast".to_owned(), 4),
        ("/users/ann/messages".to_owned(), 5),
        (format!("/connections/{}/messages", client.id), 6),
    ] {
        post(&path, json!({"message": message(n)})).await;
        assert_eq!(client.receive("note").await["p"]["n"], n, "{path}");
    }
    let same = json!({"topic": "chat.a", "message": message(7), "idempotencyKey": "k"});
    let first = post("/publish", same.clone()).await;
    assert_eq!(post("/publish", same).await, first);

    let one = gateway
        .api(Method::GET, &format!("/connections/{}", client.id), "")
        .await;
    assert_eq!(one.json()["user"], "ann");
    assert_eq!(one.json()["subscriptions"], json!(["chat.a"]));
    let list = gateway
        .api(Method::GET, "/connections?user=ann", "")
        .await
        .json();
    assert_eq!(list["connections"][0]["id"], client.id.as_str());
    let topics = gateway
        .api(Method::GET, "/topics?prefix=chat.", "")
        .await
        .json();
    assert_eq!(
        topics["topics"],
        json!([{"topic": "chat.a", "subscribers": 1}])
    );
    let topic = gateway.api(Method::GET, "/topics/chat.a", "").await.json();
    assert_eq!(
        (&topic["epoch"], &topic["offset"]),
        (&json!(epoch), &json!(4))
    );

    let path = format!("/connections/{}?code=4401&reason=bye", client.id);
    let ended = gateway.api(Method::DELETE, &path, "").await;
    assert_eq!(ended.json()["disconnected"], 1);
    assert_eq!(client.closed().await, (4401, "bye".to_owned()));
    gateway.wait_metric("wse_sessions", 0.0).await;
    let gone = gateway.api(Method::DELETE, &path, "").await;
    assert_eq!(gone.json()["error"]["code"], "CONNECTION_NOT_FOUND");
}

#[tokio::test]
async fn the_api_refuses_in_json() {
    let gateway = Gateway::start(|config| config["api"]["maxBodyBytes"] = json!(2_048)).await;
    let (get, post) = (Method::GET, Method::POST);
    let refused = gateway
        .api_as(get.clone(), "/topics", "", "Bearer wrong")
        .await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json()["error"]["code"], "API_KEY_REFUSED");
    let large = json!({"topic": "chat.a", "message": {"t": "x".repeat(4_096)}}).to_string();
    for (method, path, body, status, code) in [
        (&post, "/publish", large.as_str(), 413, "BODY_TOO_LARGE"),
        (&post, "/publish", "{", 400, "JSON_INVALID"),
        (&post, "/publish", "{}", 422, "BODY_INVALID"),
        (
            &post,
            "/publish",
            r#"{"topic":"a","message":[]}"#,
            400,
            "MESSAGE_INVALID",
        ),
        (
            &post,
            "/publish",
            r#"{"topic":"a","message":{"p":1}}"#,
            400,
            "MESSAGE_INVALID",
        ),
        (&get, "/nowhere", "", 404, "ROUTE_UNKNOWN"),
        (&get, "/publish", "", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let answer = gateway.api(method.clone(), path, body).await;
        assert_eq!(answer.status, status, "{path} {body}");
        assert_eq!(answer.json()["error"]["code"], code, "{path} {body}");
    }
    let open = gateway.api_as(get, "/openapi.json", "", "").await;
    assert_eq!(open.json()["openapi"], "3.1.0");
}

#[tokio::test]
async fn a_drain_by_the_operator_empties_and_is_taken_back() {
    let mut gateway = Gateway::start(|_| {}).await;
    let mut clients = Vec::new();
    for number in 0..5 {
        clients.push(gateway.client(&format!("user-{number}")).await);
    }
    assert_eq!(gateway.drain(Method::POST, "wrong").await.status, 401);
    assert_eq!(gateway.drain(Method::POST, TOKEN).await.status, 200);
    for client in &mut clients {
        assert_eq!(client.closed().await.0, 4300);
    }
    gateway.wait_metric("wse_drain_sessions_left", 0.0).await;
    let ready = gateway.admin("/ready").await;
    assert_eq!(
        (ready.status, ready.json()["ready"].clone()),
        (503, json!(false))
    );
    assert_eq!(gateway.admin("/live").await.status, 200);
    let refused = gateway.try_client("late").await;
    match refused {
        Err(tungstenite::Error::Http(response)) => {
            assert_eq!(response.status(), 503);
            assert!(response.headers().contains_key("retry-after"));
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("let in"),
    }
    assert!(gateway.is_running());
    assert_eq!(
        gateway.drain(Method::DELETE, TOKEN).await.json(),
        json!({"drain": "serving"})
    );
    assert_eq!(gateway.admin("/ready").await.status, 200);
    let mut back = gateway.client("back").await;
    assert_eq!(back.subscribe("chat.a").await["success"], true);
}

#[tokio::test]
async fn a_shed_sends_so_many_clients_elsewhere_and_the_pod_goes_on() {
    let gateway = Gateway::start(|_| {}).await;
    let mut client = gateway.client("ann").await;
    let body = json!({"sessions": 3, "windowSeconds": 0}).to_string();
    assert_eq!(gateway.shed(&body).await.json(), json!({"shed": 1}));
    assert_eq!(client.closed().await.0, 4300);
    assert_eq!(gateway.shed("{}").await.status, 400);
    assert_eq!(gateway.admin("/ready").await.status, 200);
    gateway.wait_metric("wse_shed_sessions_total", 1.0).await;
    let mut back = gateway.client("ann").await;
    assert_eq!(back.subscribe("chat.a").await["success"], true);
    gateway.drain(Method::POST, TOKEN).await;
    let refused = gateway.shed(&body).await;
    assert_eq!(refused.status, 409);
    assert_eq!(refused.json()["error"]["code"], "DRAINING");
}

#[tokio::test]
async fn as_many_clients_fit_as_the_pod_says() {
    let script = "ulimit -S -n 100 && ulimit -H -n 700";
    let gateway = Gateway::start_after(script, |config| {
        config["limits"] = json!({"pendingHandshakes": 16});
    })
    .await;
    let capacity = gateway.admin("/load").await.json()["capacity"].clone();
    assert_eq!(capacity["nofile"], 700);
    let fit = capacity["connections"].as_u64().unwrap();
    assert!((400..700).contains(&fit), "{capacity}");
    let mut clients = Vec::new();
    for number in 0..fit {
        clients.push(gateway.client(&format!("user-{number}")).await);
    }
    match gateway.try_client("late").await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 503),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("let in"),
    }
    assert_eq!(gateway.api(Method::GET, "/topics", "").await.status, 200);
    assert_eq!(gateway.admin("/load").await.json()["connections"], fit);
    assert!(gateway.metric("wse_accept_errors_total").await < 1.0);
}

#[tokio::test]
async fn a_signal_sends_clients_elsewhere_and_exits() {
    let mut gateway = Gateway::start(|_| {}).await;
    let mut client = gateway.client("ann").await;
    gateway.signal(Signal::TERM);
    assert_eq!(client.closed().await.0, 4300);
    drop(client);
    assert!(gateway.exit().await.success(), "{}", gateway.log());
}

#[tokio::test]
async fn a_publish_that_is_held_at_the_exit_is_answered() {
    let nowhere = free_ports()[0];
    let mut gateway = Gateway::start(|config| {
        let url = format!("redis://127.0.0.1:{nowhere}");
        config["cluster"] = json!("default/chat");
        config["backplane"] = json!({"Redis": {"url": url, "holdMillis": 600_000}});
    })
    .await;
    let body = json!({"topic": "chat.a", "message": {"t": "note"}}).to_string();
    let publish = gateway.api(Method::POST, "/publish", &body);
    let exit = async {
        for _ in 0..100 {
            if gateway.metric("wse_backplane_held_bytes").await > 0.0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        gateway.signal(Signal::TERM);
    };
    let (answer, ()) = tokio::join!(publish, exit);
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert_eq!(answer.json()["error"]["code"], "BACKPLANE_AWAY");
    assert_eq!(answer.headers["connection"], "close");
    assert!(gateway.exit().await.success(), "{}", gateway.log());
}

#[tokio::test]
async fn a_second_signal_exits_at_once() {
    let mut gateway = Gateway::start(|config| config["drain"]["waitSeconds"] = json!(3_600)).await;
    let mut client = gateway.client("ann").await;
    gateway.signal(Signal::INT);
    gateway.wait_metric("wse_draining", 1.0).await;
    for answer in [
        gateway.api(Method::GET, "/topics", "").await,
        gateway.api(Method::GET, "/nowhere", "").await,
        gateway.admin("/live").await,
    ] {
        assert_eq!(answer.headers["connection"], "close", "{}", answer.text);
    }
    assert_eq!(client.subscribe("chat.a").await["success"], true);
    let mut late = gateway.client("late").await;
    assert_eq!(late.subscribe("chat.a").await["success"], true);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.exit().await.code(), Some(128 + 15));
}

#[tokio::test]
async fn a_reload_keeps_every_client() {
    let gateway = Gateway::start(|_| {}).await;
    let mut client = gateway.client("ann").await;
    client.subscribe("chat.a").await;
    let applied = "wse_config_reloads_total{outcome=\"applied\"}";
    let refused = "wse_config_reloads_total{outcome=\"refused\"}";

    let mut next = gateway.config.clone();
    next["limits"] = json!({"connections": 77, "subscriptions": 1});
    next["log"] = json!("wse_sidecar=debug");
    next["tomorrow"] = json!({"a": 1});
    gateway.write_config(&next.to_string());
    gateway.wait_metric(applied, 1.0).await;
    gateway.wait_metric("wse_config_unknown_fields", 1.0).await;
    assert_eq!(
        gateway.admin("/load").await.json()["capacity"]["configured"],
        77
    );
    let ack = client.subscribe("chat.b").await;
    assert_eq!(
        ack["success_topics"],
        json!([]),
        "one subscription is allowed: {ack}"
    );

    gateway.write_config("{");
    gateway.wait_metric(refused, 1.0).await;
    next["auth"]["keys"] = json!([]);
    gateway.write_config(&next.to_string());
    gateway.wait_metric(refused, 2.0).await;
    assert_eq!(
        gateway.admin("/load").await.json()["capacity"]["configured"],
        77
    );

    gateway.directory.file("api", "another-key");
    next["auth"] = gateway.config["auth"].clone();
    next["node"] = json!("pod-2");
    gateway.write_config(&next.to_string());
    gateway.wait_metric(applied, 2.0).await;
    let old = gateway.api(Method::GET, "/topics", "").await;
    assert_eq!(old.status, 401);
    let body = json!({"topic": "chat.a", "message": {"t": "note"}}).to_string();
    let answer = gateway
        .api_as(Method::POST, "/publish", &body, "Bearer another-key")
        .await;
    assert_eq!(
        answer.headers["x-wse-node"], "pod-1",
        "a node keeps its name"
    );
    client.receive("note").await;
    gateway.directory.file("api", API_KEY);
    gateway.signal(Signal::HUP);
    gateway.wait_metric(applied, 3.0).await;
    assert_eq!(gateway.api(Method::GET, "/topics", "").await.status, 200);
    assert!((gateway.metric("wse_sessions_opened_total").await - 1.0).abs() < f64::EPSILON);
    let log = gateway.log();
    assert!(
        log.contains("needs a restart") && log.contains("\"tomorrow\""),
        "{log}"
    );
}

#[tokio::test]
async fn nothing_secret_is_logged() {
    let gateway = Gateway::start(|config| config["log"] = json!("trace")).await;
    let mut client = gateway.client("ann").await;
    client.subscribe("chat.a").await;
    let body = json!({"topic": "chat.a", "message": {"t": "note", "p": "a-payload"}});
    gateway
        .api(Method::POST, "/publish", &body.to_string())
        .await;
    client.receive("note").await;
    gateway.drain(Method::DELETE, TOKEN).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let log = gateway.log();
    for line in log.lines() {
        let _: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    }
    for secret in [API_KEY, TOKEN, "a-payload", "thirty-two bytes", "eyJ"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn check_tells_what_is_wrong() {
    let directory = Directory::new();
    let key = directory.file("jwt", "a secret of thirty-two bytes, yes");
    let auth = json!({"keys": [{"algorithm": "HS256", "file": key}]});
    for (config, fine, told) in [
        (json!({"version": 1, "auth": auth}), true, "fine"),
        (
            json!({"version": 1, "auth": auth, "later": 1}),
            true,
            "later",
        ),
        (json!({"version": 9}), false, "version 9"),
        (json!({"version": 1}), false, "no key"),
        (
            json!({"version": 1, "auth": {"mode": "None"}, "limits": {"pingSeconds": 99}}),
            false,
            "limits.pingSeconds",
        ),
        (
            json!({"version": 1, "auth": {"mode": "None"}, "api": {"keyFiles": ["/nowhere"]}}),
            false,
            "/nowhere",
        ),
        (
            json!({"version": 1, "auth": {"mode": "None"}, "topics": [{"pattern": ""}]}),
            false,
            "topics",
        ),
    ] {
        let file = directory.file("config.json", &config.to_string());
        let run = Command::new(env!("CARGO_BIN_EXE_wse-sidecar"))
            .args(["check", "--config"])
            .arg(file)
            .output()
            .unwrap();
        let text = String::from_utf8([run.stdout, run.stderr].concat()).unwrap();
        assert_eq!(run.status.success(), fine, "{config}: {text}");
        assert!(text.contains(told), "{config}: {text}");
    }
}

#[test]
fn a_gateway_that_cannot_start_says_why() {
    let directory = Directory::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = json!({
        "version": 1,
        "auth": {"mode": "None"},
        "listen": {"public": "127.0.0.1:0", "api": "127.0.0.1:0", "admin": address},
    });
    let file = directory.file("config.json", &config.to_string());
    let run = Command::new(env!("CARGO_BIN_EXE_wse-sidecar"))
        .arg("--config")
        .arg(file)
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    let log = String::from_utf8(run.stderr).unwrap();
    assert!(log.contains(&address), "{log}");
}

#[tokio::test]
async fn an_inherited_socket_that_does_not_listen_is_refused() {
    let directory = Directory::new();
    let ports = free_ports();
    let config = json!({
        "version": 1,
        "auth": {"mode": "None"},
        "listen": {
            "api": format!("127.0.0.1:{}", ports[0]),
            "admin": format!("127.0.0.1:{}", ports[1]),
        },
    });
    let file = directory.file("config.json", &config.to_string());
    let peer = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = std::net::TcpStream::connect(peer.local_addr().unwrap()).unwrap();
    let script = r#"LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" --config "$1" 3<&0"#;
    let run = tokio::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_wse-sidecar")])
        .arg(file)
        .stdin(std::os::fd::OwnedFd::from(connected))
        .kill_on_drop(true)
        .output();
    let run = tokio::time::timeout(gateway::HANG, run).await;
    let run = run.expect("it does not start").unwrap();
    assert_eq!(run.status.code(), Some(1));
    let log = String::from_utf8(run.stderr).unwrap();
    assert!(log.contains("does not listen"), "{log}");
}
