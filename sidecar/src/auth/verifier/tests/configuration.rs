//! What the configuration and the request decide.

use super::*;

#[tokio::test]
async fn the_claim_decides_what_is_granted() {
    let signer = Signer::hs256();
    let scratch = Scratch::new();
    let config = Auth {
        keys: vec![signer.key(&scratch)],
        default_topics: vec!["lobby".into()],
        ..Auth::default()
    };
    let metrics = metrics();
    let verifier = Verifier::load(&config, None, metrics.clone())
        .await
        .unwrap();
    let chat = json!({"allow": ["chat.*"], "deny": ["chat.secret"]});
    for (claim, granted, malformed) in [
        (None, vec!["lobby"], 0),
        (Some(chat), vec!["chat.a"], 0),
        (Some(json!({"allow": []})), vec![], 0),
        (Some(json!({})), vec![], 1),
        (Some(json!("*")), vec![], 1),
        (Some(json!(null)), vec![], 1),
    ] {
        let mut claims = json!({"sub": "ada", "exp": in_seconds(60)});
        if let Some(claim) = &claim {
            claims["wse_topics"] = claim.clone();
        }
        let before = metrics.malformed_grants.get();
        let identity = verifier.verify(&signer.sign(&claims), now()).unwrap();
        let permitted: Vec<_> = ["lobby", "chat.a", "chat.secret", "news"]
            .into_iter()
            .filter(|name| identity.grants.permits(&Topic::parse(name, 255).unwrap()))
            .collect();
        assert_eq!(permitted, granted, "{claim:?}");
        assert_eq!(
            metrics.malformed_grants.get() - before,
            malformed,
            "{claim:?}"
        );
        assert_eq!(&*identity.user, "ada");
    }
}

#[tokio::test]
async fn the_request_decides_which_token() {
    let signer = Signer::hs256();
    let scratch = Scratch::new();
    let mut config = Auth {
        keys: vec![signer.key(&scratch)],
        cookie: "jar".into(),
        ..Auth::default()
    };
    let metrics = metrics();
    let strict = Verifier::load(&config, None, metrics.clone())
        .await
        .unwrap();
    config.allowed_origins = Origins::Any;
    let open = Verifier::load(&config, None, metrics.clone())
        .await
        .unwrap();

    let cookie = format!("jar={}", signer.token("cookie"));
    let bearer = format!("Bearer {}", signer.token("bearer"));
    let headers: HeaderMap = [(COOKIE, &cookie), (AUTHORIZATION, &bearer)]
        .map(|(name, value)| (name, value.parse().unwrap()))
        .into_iter()
        .collect();
    let user = |identity: Result<Identity, Denied>| identity.unwrap().user;
    assert_eq!(&*user(strict.authenticate(&headers, now()).await), "cookie");
    assert_eq!(&*user(open.authenticate(&headers, now()).await), "bearer");

    let mut only_cookie = headers.clone();
    only_cookie.remove(AUTHORIZATION);
    let refused = open.authenticate(&only_cookie, now()).await.unwrap_err();
    assert_eq!(refused, Denied::Refused(Refusal::Required));
    assert_eq!(metrics.refusals.with_label_values(&["no_token"]).get(), 1);
}

#[tokio::test]
async fn without_authentication_everybody_is_anonymous() {
    let config = Auth {
        mode: AuthMode::None,
        default_topics: vec!["chat.*".into()],
        ..Auth::default()
    };
    let verifier = load(&config).await.unwrap();
    assert!(verifier.is_ready());
    let identity = verifier
        .authenticate(&HeaderMap::new(), now())
        .await
        .unwrap();
    assert_eq!(&*identity.user, "anonymous");
    assert_eq!(identity.expires_at, None);
    assert!(
        identity
            .grants
            .permits(&Topic::parse("chat.a", 255).unwrap())
    );
    assert!(!identity.grants.permits(&Topic::parse("news", 255).unwrap()));
}

#[tokio::test]
async fn an_unusable_key_is_told_with_its_file() {
    let scratch = Scratch::new();
    let rsa = Signer::rs256("k").key(&scratch).file;
    let private = scratch.write(&pem("PRIVATE KEY", b"whatever"));
    let short_rsa = scratch.write(SHORT_RSA.as_bytes());
    let cases: [(Algorithm, _, &str); 9] = [
        (Algorithm::HS256, scratch.write(&[b'x'; 31]), "31 bytes"),
        (
            Algorithm::HS256,
            scratch.write(b"0123456789012345678901234567890\n"),
            "31 bytes",
        ),
        (
            Algorithm::RS256,
            scratch.write(b"no pem"),
            "no public key in PEM",
        ),
        (
            Algorithm::ES256,
            rsa.clone(),
            "no public key in PEM for ES256",
        ),
        (Algorithm::EdDSA, rsa, "no public key in PEM for EdDSA"),
        (Algorithm::RS256, private, "private key"),
        (Algorithm::RS256, short_rsa, "1024 bits"),
        (
            Algorithm::RS256,
            scratch.path().join("absent"),
            "No such file",
        ),
        (Algorithm::RS256, scratch.path().to_owned(), "directory"),
    ];
    for (algorithm, file, expected) in cases {
        let config = Auth {
            keys: vec![Key {
                algorithm,
                file: file.clone(),
                kid: None,
            }],
            ..Auth::default()
        };
        let message = load(&config).await.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert!(message.contains(file.to_str().unwrap()), "{message}");
    }
}

#[tokio::test]
async fn a_contradicting_configuration_is_refused() {
    let message = |error: Result<Verifier, Error>| error.unwrap_err().to_string();
    assert!(message(load(&Auth::default()).await).contains("nobody could connect"));

    let bad_default = Auth {
        mode: AuthMode::None,
        default_topics: vec!["ok".into(), "$all".into()],
        ..Auth::default()
    };
    assert!(message(load(&bad_default).await).contains("`$all`"));

    let scratch = Scratch::new();
    for (jwks, expected) in [
        (
            Jwks {
                url: Some("http://idp.example.com/keys".into()),
                ..Jwks::default()
            },
            "must be https",
        ),
        (
            Jwks {
                url: Some("file:///etc/passwd".into()),
                ..Jwks::default()
            },
            "auth.jwks.url",
        ),
        (
            Jwks {
                url: Some("nonsense".into()),
                ..Jwks::default()
            },
            "must be https",
        ),
        (
            Jwks {
                file: Some(scratch.write(b"{\"keys\": []}")),
                ..Jwks::default()
            },
            "no usable key",
        ),
    ] {
        let config = Auth {
            jwks: Some(jwks),
            ..Auth::default()
        };
        let message = message(load(&config).await);
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn keys_come_from_a_mounted_set() {
    let (a, b) = (Signer::rs256("a"), Signer::eddsa("b"));
    let scratch = Scratch::new();
    let set = json!({"keys": [a.jwk(), b.jwk()]});
    let config = Auth {
        jwks: Some(Jwks {
            file: Some(scratch.write(set.to_string().as_bytes())),
            ..Jwks::default()
        }),
        ..Auth::default()
    };
    let verifier = load(&config).await.unwrap();
    assert!(verifier.is_ready());
    for signer in [&a, &b] {
        assert_eq!(
            label(verifier.verify(&signer.token("ada"), now())),
            "accepted"
        );
    }
    assert_eq!(
        label(verifier.verify(&Signer::eddsa("b").token("ada"), now())),
        "bad_signature"
    );
}

/// An RSA public key of 1024 bits: too short to be made here, because the library refuses to.
const SHORT_RSA: &str = "\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDDoH5mBf0m6BPdhgyTVCeUeUp1
xpc6fvFcSU7hdH+zm92+P2YG4WKYUCcazBIVeu83cWz/RjWXQf/eWXU0HbdidHxD
ER2e/mv8cUaG4utot5NzR9HFd0diWz+8WuMU3iJbdMqWAU+2ewG6bSnx+7+UbcPY
A/PZdWoyKR14Kb8wPQIDAQAB
-----END PUBLIC KEY-----
";
