use super::*;

fn load(file: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_parts(FILE_NAME, file, env.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())))
}

#[test]
fn without_file_and_environment_the_documented_defaults_apply() {
    let config = load("", &[]).expect("the defaults are good");
    assert_eq!(config.server.address.to_string(), "127.0.0.1:8000");
    assert_eq!(config.database.url, DatabaseUrl::Sqlite("vestibule.db".into()));
    assert_eq!(config.session.max_lifetime, Duration::from_hours(24));
    assert_eq!(config.policy().login.interval, Duration::from_secs(6));
    assert_eq!(config.policy().register.interval, Duration::from_mins(3));
}

#[test]
fn the_environment_overrides_the_file_and_the_file_the_defaults() {
    let file = "[session]\nidle = \"1h\"\nper_user = 3\n[server]\naddress = \"127.0.0.1:1\"";
    let env = [
        ("VESTIBULE_SERVER_ADDRESS", "127.0.0.1:2"),
        ("VESTIBULE_SERVER_TRUSTED_PROXIES", "127.0.0.1, ::1/128"),
        ("VESTIBULE_RATE_LIMIT_LOGIN_BURST", "7"),
        ("DATABASE_URL", "postgres://u:p@h/d"),
        ("PATH", "/bin"),
    ];
    let config = load(file, &env).expect("good");
    assert_eq!(config.server.address.port(), 2);
    assert_eq!(config.session.idle, Duration::from_hours(1));
    assert_eq!(config.session.per_user, 3);
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert_eq!(config.rate_limit.login_burst, 7, "a section's name may have an underscore");
    assert!(matches!(config.database.url, DatabaseUrl::Postgres(_)));
}

#[test]
fn every_configuration_key_is_documented() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ")) {
        assert!(at > 0 && lines[at - 1].starts_with("# "), "{line} is not explained");
    }
}

/// A file, an environment, and a part of the expected error.
type Broken<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn twenty_invalid_configurations_are_rejected_in_one_line_r105() {
    let table: [Broken; 71] = [
        ("[log]\nlevel = \"loud\"", &[], "log.level"),
        ("[server]\nadress = \"x\"", &[], "no key adress; did you mean address?"),
        ("[server]\nper_user = 3", &[], "it belongs in [session]"),
        ("[server]\nport = 3", &[], "Its keys are address"),
        ("[sever]\n", &[], "did you mean [server]?"),
        ("[package]\n", &[], "The sections are backup, brand, database, events, log"),
        ("[backup]\nevery = \"30s\"", &[], "backup.every is 30s; the minimum is 1m"),
        ("[backup]\nkeep = 0", &[], "backup.keep"),
        ("[backup]\nfolder = \"\"", &[], "backup.folder"),
        ("[backup]\nevery = \"1d\"\n[database]\nurl = \"postgres://h/d\"", &[], "pg_dump"),
        ("[metrics]\naddress = \"localhost:9090\"", &[], "such as 127.0.0.1:9090"),
        ("server = 3", &[], "write [server]"),
        ("[server\n", &[], "can't be read"),
        ("[server]\naddress = 8000", &[], "server.address must be a string"),
        ("[server]\naddress = \"localhost\"", &[], "server.address"),
        ("[server]\nmax_connections = 0", &[], "server.max_connections"),
        ("[server]\nmax_connections = -1", &[], "server.max_connections"),
        ("[server]\nhosts = [\"https://x.org\"]", &[], "server.hosts"),
        ("[server]\ntrusted_proxies = [\"10.0.0.0/99\"]", &[], "server.trusted_proxies"),
        ("[server]\nbody_timeout = \"soon\"", &[], "server.body_timeout"),
        ("[server]\nbody_timeout = \"0s\"", &[], "server.body_timeout"),
        ("[database]\nurl = \"mysql://x\"", &[], "database.url"),
        ("[database]\nurl = \"sqlite::memory:\"", &[], "database.url"),
        ("[password]\nargon2_memory_kib = 8", &[], "19456"),
        ("[password]\nargon2_iterations = 1", &[], "password.argon2_iterations"),
        ("[password]\nmin_length = 4", &[], "password.min_length"),
        ("[password]\nmin_length = 100", &[], "password.min_length"),
        ("[session]\nidle = \"2days\"", &[], "session.idle"),
        ("[database]\nurl = \"postgres://ann:secret@h/d", &[], "line 2"),
        ("[rate_limit]\nlogin_per_minute = 60001", &[], "rate_limit.login_per_minute"),
        ("[log]\nformat = \"xml\"", &[], "log.format"),
        ("[log]\nlevel = \"loud=very\"", &[], "log.level"),
        ("[server]\npublic_url = \"accounts.example.org\"", &[], "server.public_url"),
        ("[server]\npublic_url = \"https://example.org/accounts\"", &[], "without a path: https://example.org."),
        (
            "[server]\npublic_url = \"https://ann:secret@example.org\"",
            &[],
            "without a user or a password: https://example.org.",
        ),
        (
            "[server]\npublic_url = \"https://example.org:8443/?key=secret\"",
            &[],
            "without a query: https://example.org:8443.",
        ),
        ("[server]\npublic_url = \"ann:secret@example.org\"", &[], "server.public_url"),
        ("[registration]\nmode = \"invited\"", &[], "registration.mode"),
        ("[registration]\nallowed_domains = [\"@example.org\"]", &[], "registration.allowed_domains"),
        ("[registration]\nallowed_domains = [\"a.org\"]\ndenied_domains = [\"b.org\"]", &[], "are both set"),
        ("[registration]\nrequire_verified_email = 1", &[], "must be true or false"),
        ("[brand]\nservice_name = \" \"", &[], "brand.service_name"),
        ("[brand]\nservice_name = \"two\\nlines\"", &[], "brand.service_name"),
        ("[brand]\napp_url = \"javascript:alert(1)\"", &[], "brand.app_url"),
        ("[brand]\napp_url = \"https://ann:secret@app.example.org\"", &[], "without a user or a password"),
        ("[brand]\napp_url = \"ftp://ann:secret@app.example.org\"", &[], "brand.app_url"),
        ("[brand]\naccent = \"red\"", &[], "brand.accent"),
        ("[brand]\naccent = \"#fff;}\"", &[], "brand.accent"),
        ("[brand]\nlogo = \"missing.png\"", &[], "can't be read"),
        ("[mail]\nurl = \"on\"", &[], "mail.url"),
        ("[mail]\nurl = \"smtp://ann:secret@mail.example.org/x\"", &[], "mail.url"),
        ("[mail]\nurl = \"smtp://ann:secret@mail.example.org\"", &[], "server.public_url"),
        ("[mail]\nfrom = \"Vestibule\"", &[], "mail.from"),
        ("[mail]\nfrom = \"söhne@example.org\"", &[], "before the @"),
        ("", &[("VESTIBULE_MAIL_FROM", "\"Ann\r\n Bcc: bob\" <no-reply@example.org>")], "mail.from"),
        ("", &[("VESTIBULE_MAIL_FROM", "\"Ann\tSmith\" <no-reply@example.org>")], "control character"),
        ("[mail]\ntls = \"maybe\"", &[], "mail.tls"),
        ("[mail]\nca_file = \"no/such/file.pem\"", &[], "mail.ca_file"),
        ("[mail]\nca_file = \"Cargo.toml\"", &[], "no PEM certificate"),
        ("[mail]\nhello_name = \"two words\"", &[], "mail.hello_name"),
        (
            "[mail]\nurl = \"smtp://localhost\"\n[server]\npublic_url = \"https://accounts.example.org\"",
            &[],
            "mail.from",
        ),
        ("[mail]\nurl = \"off\"\n[registration]\nrequire_verified_email = true", &[], "mail.url is off"),
        ("", &[("VESTIBULE_REGISTRATION_REQUIRE_VERIFIED_EMAIL", "perhaps")], "must be true or false"),
        (
            "",
            &[("VESTIBULE_SERVER_ADRESS", "x")],
            "VESTIBULE_SERVER_ADRESS matches no key of vestibule.toml; did you mean VESTIBULE_SERVER_ADDRESS?",
        ),
        ("", &[("VESTIBULE_PORT", "x")], "VESTIBULE_PORT matches no key"),
        ("", &[("VESTIBULE_MAIL_FROM_FILE", "/x")], "use VESTIBULE_MAIL_FROM."),
        ("", &[("VESTIBULE_MAIL_URL_FILE", "/no/such/file")], "VESTIBULE_MAIL_URL_FILE names"),
        ("", &[("DATABASE_URL_FILE", "/x"), ("DATABASE_URL", "postgres://ann:secret@h/d")], "are both set"),
        ("", &[("VESTIBULE_SESSION_PER_USER", "many")], "VESTIBULE_SESSION_PER_USER"),
        ("", &[("DATABASE_URL", "postgres://ann:se#cret/secret@h/d")], "percent-encoded"),
        ("", &[("DATABASE_URL", "postgres+ssl://ann:secret@h/d")], "database.url"),
    ];
    assert_refused(&table);
}

#[test]
fn a_configuration_error_names_the_key_and_valid_values_r105() {
    let table: [Broken; 12] = [
        ("[server]\n[log]\n[server]\n", &[], "line 3: the section [server] appears twice; merge its keys"),
        ("[log]\nlevel = \"info\"\nlevel = \"secret\"", &[], "line 3: the key level appears twice in its section"),
        (
            "[registration]\nmode = \"close\"",
            &[],
            "registration.mode: write \"open\", \"approval\", \"invite\" or \"closed\".",
        ),
        (
            "[registration]\nmode = \"x\"\n[mail]\ntls = \"y\"",
            &[],
            "mail.tls: write \"required\", \"opportunistic\" or",
        ),
        ("[brand]\naccent = \"blue\"\n[log]\nformat = \"xml\"", &[], "brand.accent: write a colour"),
        (
            "port = 8001",
            &[],
            "port is outside of any section. Write each key under its section, such as address under [server].",
        ),
        ("allowed_origins = []", &[], "allowed_origins is outside of any section; write it under [server]."),
        ("[server]\nallowed_origins = [\"https://ann:secret@a.example\"]", &[], "write it without: https://a.example."),
        ("[server]\nallowed_origins = [\"ann:secret@a.example\"]", &[], "server.allowed_origins"),
        ("[server]\nhosts = [\"https://ann:secret@a.example\"]", &[], "server.hosts"),
        ("[mail]\nfrom = \"smtp://ann:secret@mail.example.org:587\"", &[], "mail.from"),
        ("", &[("DATABASE_URL_FILE", "postgres://ann:secret@h/d")], "DATABASE_URL_FILE names the file"),
    ];
    assert_refused(&table);
}

/// Checks that each is refused with one line that contains the expected part and no secret.
fn assert_refused(table: &[Broken]) {
    for &(file, env, word) in table {
        let error = load(file, env).map(|_| ()).expect_err(file).to_string();
        assert!(error.contains(word), "{file:?} {env:?}: {error}");
        assert!(!error.contains('\n') && !error.contains("secret"), "{error}");
    }
}

#[test]
fn no_value_disables_the_protection_that_it_configures_r89_r105() {
    let beyond = [
        ("server.trusted_proxies", "[\"0.0.0.0/0\"]"),
        ("server.trusted_proxies", "[\"::/0\"]"),
        ("server.trusted_proxies", "[\"127.0.0.1\", \"128.0.0.0/1\"]"),
        ("server.trusted_proxies", "[\"2000::/3\"]"),
        ("server.trusted_proxies", "[\"::ffff:0:0/96\"]"),
        ("server.trusted_proxies", "[\"::ffff:8.0.0.0/103\"]"),
        ("server.max_connections", "4000000000"),
        ("server.max_connections_per_address", "4000000000"),
        ("server.header_timeout", "\"1ms\""),
        ("server.header_timeout", "\"1h\""),
        ("server.body_timeout", "\"1d\""),
        ("server.response_timeout", "\"1ms\""),
        ("server.idle_timeout", "\"1d\""),
        ("server.stop_timeout", "\"1d\""),
        ("database.connections", "4000000000"),
        ("database.wait", "\"2h\""),
        ("password.min_length", "65"),
        ("password.argon2_memory_kib", "4000000000"),
        ("password.argon2_iterations", "4000000000"),
        ("password.argon2_parallelism", "4000000000"),
        ("password.hashing_threads", "4000000000"),
        ("password.hashing_queue", "4000000000"),
        ("password.hashing_timeout", "\"1ms\""),
        ("password.hashing_timeout", "\"1h\""),
        ("session.idle", "\"1ms\""),
        ("session.max_lifetime", "\"365d\""),
        ("session.per_user", "4000000000"),
        ("session.reauth_after", "\"61m\""),
        ("rate_limit.login_burst", "4000000000"),
        ("rate_limit.login_per_minute", "60001"),
        ("rate_limit.register_burst", "4000000000"),
        ("rate_limit.register_per_hour", "4000000000"),
        ("rate_limit.account_free_failures", "4000000000"),
        ("rate_limit.account_free_failures", "101"),
        ("rate_limit.token_calls_per_minute", "0"),
        ("rate_limit.token_calls_per_minute", "60000001"),
        ("rate_limit.account_delay", "\"1ms\""),
        ("rate_limit.account_delay", "\"16m\""),
        ("rate_limit.account_max_delay", "\"2d\""),
        ("rate_limit.account_max_delay", "\"1ms\""),
        ("rate_limit.account_reset_after", "\"1ms\""),
        ("registration.unconfirmed_lasts", "\"1h\""),
        ("registration.pending_lasts", "\"20years\""),
        ("backup.every", "\"30s\""),
        ("backup.keep", "0"),
        ("events.keep", "\"1h\""),
        ("events.keep_logins", "\"1h\""),
        ("events.keep_logins", "\"20years\""),
    ];
    for (name, value) in beyond {
        let (section, key) = name.split_once('.').expect("a key");
        let error = load(&format!("[{section}]\n{key} = {value}"), &[]).map(|_| ()).expect_err(name).to_string();
        assert!(error.contains(name) && !error.contains('\n'), "{name} = {value}: {error}");
    }
    let tested = |key: &str| beyond.iter().any(|(name, _)| *name == key);
    let defaults: Table = DEFAULTS.parse().expect("TOML");
    for (section, keys) in &defaults {
        for (key, default) in keys.as_table().expect("a section") {
            let time = default.as_str().is_some_and(|text| humantime::parse_duration(text).is_ok());
            assert!(
                tested(&format!("{section}.{key}")) || !(time || default.is_integer()),
                "{section}.{key} has no bounds"
            );
        }
    }
}

#[test]
fn a_proxy_may_send_ipv4_addresses_mapped_to_ipv6_r89() {
    let networks = "::ffff:10.0.0.1, ::ffff:192.168.0.0/112, ::ffff:10.0.0.0/104, 2001:db8::1";
    let config = load("", &[("VESTIBULE_SERVER_TRUSTED_PROXIES", networks)]).expect(networks);
    let read: Vec<String> = config.server.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(read, ["10.0.0.1/32", "192.168.0.0/16", "10.0.0.0/8", "2001:db8::1/128"]);
}

#[test]
fn networks_that_one_operator_may_own_can_be_trusted() {
    for networks in [
        "10.0.0.0/8",
        "17.0.0.0/8, 203.0.113.7",
        "172.16.0.0/12",
        "fc00::/7",
        "127.0.0.0/8",
        "fd00::/8, 192.168.0.1, ::1",
    ] {
        load("", &[("VESTIBULE_SERVER_TRUSTED_PROXIES", networks)]).expect(networks);
    }
}

#[test]
fn a_secret_can_come_from_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    let name = path.to_str().expect("text");
    let read = |variable: &str, text: &str| {
        std::fs::write(&path, text).expect("written");
        load("", &[(variable, name)])
    };
    let (url, mail) = ("postgres://ann:secret@host/name", "smtps://ann:secret@mail.example.org");
    for text in [url.to_owned(), format!("{url}\n"), format!("{url}\r\n")] {
        for variable in ["DATABASE_URL_FILE", "VESTIBULE_DATABASE_URL_FILE"] {
            let config = read(variable, &text).expect("good");
            assert_eq!(Ok(config.database.url), DatabaseUrl::parse(url), "{variable} {text:?}");
        }
    }
    std::fs::write(&path, mail).expect("written");
    let env = [
        ("VESTIBULE_MAIL_URL_FILE", name),
        ("VESTIBULE_MAIL_FROM", "no-reply@example.org"),
        ("VESTIBULE_SERVER_PUBLIC_URL", "https://accounts.example.org"),
    ];
    assert_eq!(Some(load("", &env).expect("good").mail.url), MailUrl::parse(mail));
    let error =
        read("DATABASE_URL_FILE", "mysql://ann:secret@host\n").expect_err("a rejected database URL").to_string();
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn possible_mistakes_cause_warnings_and_the_defaults_none() {
    let warned = |env: &[(&str, &str)]| load("", env).expect("good").warnings();
    assert_eq!(warned(&[]), Vec::<String>::new());
    let (address, url) = ("VESTIBULE_SERVER_ADDRESS", "VESTIBULE_SERVER_PUBLIC_URL");
    assert!(warned(&[(address, "0.0.0.0:80")]).concat().contains("plain HTTP"));
    assert!(warned(&[("VESTIBULE_SERVER_HOSTS", "accounts.example.org")]).concat().contains("server.public_url"));
    let verified = ("VESTIBULE_REGISTRATION_REQUIRE_VERIFIED_EMAIL", "true");
    assert!(warned(&[verified]).concat().contains("in the folder mail: users can't confirm"));
    assert!(warned(&[(url, "http://accounts.example.org")]).concat().contains("can be read in transit"));
    for good in
        [&[(url, "http://localhost:8000")][..], &[(address, "0.0.0.0:80"), (url, "https://accounts.example.org")]]
    {
        assert_eq!(warned(good), Vec::<String>::new());
    }
}

#[test]
fn a_sender_at_an_umlaut_domain_is_encoded_as_punycode() {
    let config = load("[mail]\nfrom = \"Möbel <no-reply@bücher.example>\"", &[]).expect("good");
    assert_eq!(config.mail.from.email.to_string(), "no-reply@xn--bcher-kva.example");
    assert_eq!(config.mail.from.name.as_deref(), Some("Möbel"));
}

#[test]
fn the_smtp_greeting_names_the_public_host_or_a_configured_one() {
    let hello = |env: &[(&str, &str)]| load("", env).expect("good").smtp_options().hello;
    let public = |url| ("VESTIBULE_SERVER_PUBLIC_URL", url);
    assert_eq!(hello(&[public("https://accounts.example.org:8443")]), "accounts.example.org");
    assert_eq!(hello(&[public("http://192.0.2.7")]), "[192.0.2.7]");
    assert_eq!(hello(&[public("http://[2001:db8::7]")]), "[IPv6:2001:db8::7]");
    let chosen = [public("https://accounts.example.org"), ("VESTIBULE_MAIL_HELLO_NAME", "mail.example.org")];
    assert_eq!(hello(&chosen), "mail.example.org");
}

#[test]
fn mail_that_may_be_sent_unencrypted_causes_a_warning() {
    let warning = |url, tls| {
        let env = [
            ("VESTIBULE_MAIL_URL", url),
            ("VESTIBULE_MAIL_TLS", tls),
            ("VESTIBULE_MAIL_FROM", "no-reply@example.org"),
            ("VESTIBULE_SERVER_PUBLIC_URL", "https://accounts.example.org"),
        ];
        load("", &env).expect("good").warnings()
    };
    let local = |tls| warning("smtp://localhost:25", tls);
    let url = "smtp://ann:secret@mail.example.org";
    for tls in ["opportunistic", "none"] {
        let shown = warning(url, tls).concat();
        assert!(shown.contains("smtp://mail.example.org:587") && !shown.contains("secret"), "{shown}");
        assert_eq!(shown.contains("the password"), tls == "none", "{shown}");
        assert!(!warning("smtp://mail.example.org", tls).concat().contains("the password"), "there is none");
        assert_eq!(local(tls), Vec::<String>::new());
    }
    assert_eq!(warning(url, "required"), Vec::<String>::new());
}

#[test]
fn debug_prints_no_secret_r112() {
    let env = [
        ("DATABASE_URL", "postgres://ann:secret@host/name"),
        ("VESTIBULE_MAIL_URL", "smtps://ann:secret@mail.example.org"),
        ("VESTIBULE_MAIL_FROM", "no-reply@example.org"),
        ("VESTIBULE_SERVER_PUBLIC_URL", "https://accounts.example.org"),
    ];
    let config = load("", &env).expect("good");
    assert!(!format!("{config:?}").contains("secret"));
}

#[test]
fn links_have_the_public_url_or_else_the_listening_address_r53() {
    let listening = "127.0.0.1:8123".parse().expect("an address");
    assert_eq!(load("", &[]).expect("good").mail_templates(listening).url, "http://127.0.0.1:8123");
    for written in ["https://accounts.example.org", "https://accounts.example.org/"] {
        let config = load("", &[("VESTIBULE_SERVER_PUBLIC_URL", written)]).expect("good");
        assert_eq!(config.mail_templates(listening).url, "https://accounts.example.org");
    }
}

#[test]
fn an_allowed_origin_is_exactly_one_origin_r74() {
    let config = load("[server]\nallowed_origins = [\"https://App.example.org/\", \"http://localhost:5173\"]", &[]);
    let origins = config.expect("good").server.allowed_origins;
    assert_eq!(origins, ["https://app.example.org", "http://localhost:5173"], "as browsers write them");
    for bad in [
        "*",
        "null",
        "app.example.org",
        "https://*.example.org",
        "https://app.example.org/page",
        "https://app.example.org?x",
        "https://ann@app.example.org",
        "ftp://app.example.org",
    ] {
        let refused = load(&format!("[server]\nallowed_origins = [\"{bad}\"]"), &[]).expect_err(bad).to_string();
        assert!(refused.contains("server.allowed_origins") && refused.contains("not an origin"), "{refused}");
    }
}

#[test]
fn a_host_may_have_an_underscore_or_end_in_a_dot_r78() {
    let config = load("[server]\nhosts = [\"auth_server\", \"example.org.\"]", &[]).expect("good");
    let trust = config.trust();
    for host in ["auth_server", "Auth_Server.", "example.org", "EXAMPLE.org."] {
        assert!(trust.names(host), "{host}");
    }
}

#[test]
fn the_server_keeps_connections_longer_than_load_balancers_do() {
    assert!(
        load("", &[]).expect("good").server.idle_timeout > Duration::from_mins(1),
        "most load balancers use a minute"
    );
}
