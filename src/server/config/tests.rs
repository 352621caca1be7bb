use super::*;

fn load(file: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_parts(FILE_NAME, file, env.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())))
}

#[test]
fn without_file_and_environment_the_documented_defaults_hold() {
    let config = load("", &[]).expect("the defaults are good");
    assert_eq!(config.server.address.to_string(), "127.0.0.1:8000");
    assert_eq!(config.database.url, DatabaseUrl::Sqlite("vestibule.db".into()));
    assert_eq!(config.session.absolute, Duration::from_hours(24));
    assert_eq!(config.policy().login.interval, Duration::from_secs(6));
    assert_eq!(config.policy().register.interval, Duration::from_mins(3));
}

#[test]
fn the_environment_overrides_the_file_and_the_file_the_defaults() {
    let file = "[session]\nidle = \"1h\"\nper_user = 3\n[server]\naddress = \"127.0.0.1:1\"";
    let env = [
        ("VESTIBULE_SERVER_ADDRESS", "127.0.0.1:2"),
        ("VESTIBULE_SERVER_TRUSTED_PROXIES", "127.0.0.1, ::1/128"),
        ("DATABASE_URL", "postgres://u:p@h/d"),
        ("PATH", "/bin"),
    ];
    let config = load(file, &env).expect("good");
    assert_eq!(config.server.address.port(), 2);
    assert_eq!(config.session.idle, Duration::from_hours(1));
    assert_eq!(config.session.per_user, 3);
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert!(matches!(config.database.url, DatabaseUrl::Postgres(_)));
}

#[test]
fn every_key_has_a_line_that_says_what_it_does() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ")) {
        assert!(at > 0 && lines[at - 1].starts_with("# "), "{line} is not explained");
    }
}

/// A file, an environment, and a word of the error.
type Broken<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn twenty_broken_configurations_are_refused_in_one_line_r105() {
    let table: [Broken; 38] = [
        ("[log]\nlevel = \"loud\"", &[], "log.level"),
        ("[server]\nadress = \"x\"", &[], "no key adress"),
        ("[sever]\n", &[], "[sever]"),
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
        ("[throttle]\nlogin_per_minute = 60001", &[], "throttle.login_per_minute"),
        ("[log]\nformat = \"xml\"", &[], "log.format"),
        ("[log]\nlevel = \"loud=very\"", &[], "log.level"),
        ("[server]\npublic_url = \"accounts.example.org\"", &[], "server.public_url"),
        ("[server]\npublic_url = \"https://example.org/accounts\"", &[], "server.public_url"),
        ("[registration]\nrequire_verified_email = 1", &[], "must be true or false"),
        ("[mail]\nurl = \"on\"", &[], "mail.url"),
        ("[mail]\nurl = \"smtp://ann:secret@mail.example.org/x\"", &[], "mail.url"),
        ("[mail]\nurl = \"smtp://ann:secret@mail.example.org\"", &[], "server.public_url"),
        ("[mail]\nfrom = \"Vestibule\"", &[], "mail.from"),
        (
            "[mail]\nurl = \"smtp://localhost\"\n[server]\npublic_url = \"https://accounts.example.org\"",
            &[],
            "mail.from",
        ),
        ("[mail]\nurl = \"off\"\n[registration]\nrequire_verified_email = true", &[], "mail.url is off"),
        ("", &[("VESTIBULE_REGISTRATION_REQUIRE_VERIFIED_EMAIL", "perhaps")], "must be true or false"),
        ("", &[("VESTIBULE_SERVER_ADRESS", "x")], "VESTIBULE_SERVER_ADRESS"),
        ("", &[("VESTIBULE_SESSION_PER_USER", "many")], "VESTIBULE_SESSION_PER_USER"),
        ("", &[("DATABASE_URL", "postgres://ann:se#cret/secret@h/d")], "percent-encoded"),
        ("", &[("DATABASE_URL", "postgres+ssl://ann:secret@h/d")], "database.url"),
    ];
    for (file, env, word) in table {
        let error = load(file, env).map(|_| ()).expect_err(file).to_string();
        assert!(error.contains(word), "{file:?} {env:?}: {error}");
        assert!(!error.contains('\n') && !error.contains("secret"), "{error}");
    }
}

#[test]
fn debug_tells_no_secret_r112() {
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
fn links_lead_to_the_public_address_or_to_the_one_that_is_listened_on_r53() {
    let listening = "127.0.0.1:8123".parse().expect("an address");
    assert_eq!(load("", &[]).expect("good").letterhead(listening).url, "http://127.0.0.1:8123");
    for written in ["https://accounts.example.org", "https://accounts.example.org/"] {
        let config = load("", &[("VESTIBULE_SERVER_PUBLIC_URL", written)]).expect("good");
        assert_eq!(config.letterhead(listening).url, "https://accounts.example.org");
    }
}
