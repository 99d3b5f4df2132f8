//! Which broker, and as whom: options first, then the environment, then what a fresh start has.

use std::path::PathBuf;
use std::time::Duration;

use super::args::Line;
use super::client::Credentials;
use crate::management::token;

/// Where a broker started without options listens.
const DEFAULT_URL: &str = "http://127.0.0.1:15672";
/// Where a broker started without options keeps its data.
const DEFAULT_DATA_DIR: &str = "./haremq-data";
/// The user of a fresh start.
const DEFAULT_LOGIN: (&str, &str) = ("guest", "guest");
/// As rabbitmqctl's.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// The variables that are read, by their names without `HAREMQ_`.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    pub url: Option<String>,
    pub user: Option<String>,
    pub password: Option<String>,
    pub data_dir: Option<String>,
}

impl Environment {
    /// Those of this process.
    pub fn of_process() -> Self {
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Environment {
            url: read("HAREMQ_URL"),
            user: read("HAREMQ_USER"),
            password: read("HAREMQ_PASSWORD"),
            data_dir: read("HAREMQ_DATA_DIR"),
        }
    }
}

/// What a [`super::client::Client`] needs.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) url: String,
    pub(super) timeout: Duration,
    /// To be tried in this order until one is let in.
    pub(super) credentials: Vec<Credentials>,
    /// The token file that was looked for but could not be read, and why; for a refusal's words.
    pub(super) unread_token: Option<(PathBuf, std::io::ErrorKind)>,
}

impl Settings {
    /// # Errors
    /// The words of a usage error.
    pub(super) fn of(line: &Line, environment: &Environment) -> Result<Self, String> {
        let pick = |name: &str, variable: &Option<String>| {
            line.text(name).map(str::to_owned).or_else(|| variable.clone())
        };
        let url = pick("url", &environment.url).unwrap_or_else(|| DEFAULT_URL.to_owned());
        let mut settings = Settings {
            url: url.trim_end_matches('/').to_owned(),
            timeout: line.number("timeout").map_or(DEFAULT_TIMEOUT, Duration::from_secs),
            credentials: Vec::new(),
            unread_token: None,
        };
        if let Some(user) = pick("user", &environment.user) {
            let password = pick("password", &environment.password).ok_or_else(|| {
                "--user needs --password (or HAREMQ_PASSWORD) beside it".to_owned()
            })?;
            settings.credentials.push(Credentials::Basic { user, password });
            return Ok(settings);
        }
        let data_dir = pick("data-dir", &environment.data_dir);
        let data_dir = PathBuf::from(data_dir.as_deref().unwrap_or(DEFAULT_DATA_DIR));
        match token::read(&data_dir) {
            Ok(token) => settings.credentials.push(Credentials::Token(token)),
            Err(error) => settings.unread_token = Some((token::path(&data_dir), error.kind())),
        }
        let (user, password) = DEFAULT_LOGIN;
        settings
            .credentials
            .push(Credentials::Basic { user: user.to_owned(), password: password.to_owned() });
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::super::args;
    use super::*;

    fn line(text: &str) -> Line {
        let argv: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        args::read(&argv, &args::GLOBAL)
    }

    #[test]
    fn an_option_beats_the_environment() {
        let environment = Environment {
            url: Some("http://127.0.0.1:1/".to_owned()),
            user: Some("u".to_owned()),
            password: Some("p".to_owned()),
            data_dir: None,
        };
        let settings = Settings::of(&line("x"), &environment).expect("settings");
        assert_eq!(settings.url, "http://127.0.0.1:1");
        let settings =
            Settings::of(&line("x --url http://127.0.0.1:2"), &environment).expect("settings");
        assert_eq!(settings.url, "http://127.0.0.1:2");
        assert_eq!(settings.credentials.len(), 1);
    }

    #[test]
    fn a_user_without_a_password_is_a_usage_error() {
        assert!(Settings::of(&line("x --user u"), &Environment::default()).is_err());
    }

    #[test]
    fn without_a_token_the_user_of_a_fresh_start_is_tried() {
        let settings = Settings::of(&line("x --data-dir /nonexistent"), &Environment::default());
        let settings = settings.expect("settings");
        assert!(
            matches!(&settings.credentials[..], [Credentials::Basic { user, .. }] if user == "guest")
        );
        assert!(settings.unread_token.is_some());
    }
}
