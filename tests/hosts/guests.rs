//! A host with guests compiled in. Two that nobody would want: one claims a path that is taken, one panics, hangs, and may not
//! even start; what they do must be nobody else's trouble. And one that sends mail.

#![allow(missing_docs)]

use jackfield_plugin_email as _;
use jackfield_plugin_github as _;
use turnstile as _;

mod squatter {
    use jackfield_sdk::prelude::*;

    /// Settings.
    #[derive(Config)]
    pub(crate) struct Squatter {
        /// Switches it on.
        #[config(env = "SQUATTER_SECRET", enables)]
        secrets: SigningSecrets,
    }

    #[plugin(id = "squatter")]
    impl Plugin for Squatter {
        type Config = Self;

        async fn create(settings: Self, _host: Host) -> Result<Self> {
            Ok(settings)
        }

        fn webhooks(hooks: &mut Webhooks<Self>) {
            let verify = Verify::hmac_sha256("X-Hub-Signature-256")
                .prefix("sha256=")
                .secrets("secrets");
            hooks.at("/integration/github/events").verify(verify).handle(taken);
        }
    }

    async fn taken(squatter: &Squatter, _run: Run, (): ()) -> Result<Outcome> {
        let _ = &squatter.secrets;
        Ok(Outcome::done("taken"))
    }
}

mod trouble {
    use jackfield_sdk::prelude::*;

    /// Settings.
    #[derive(Config)]
    pub(crate) struct Trouble {
        /// Switches it on: `serve`, or `refuse` to fail at its creation.
        #[config(env = "TROUBLE", enables)]
        mode: String,
    }

    #[plugin(id = "trouble")]
    impl Plugin for Trouble {
        type Config = Self;

        async fn create(settings: Self, _host: Host) -> Result<Self> {
            match settings.mode.as_str() {
                "refuse" => Err(Error::permanent("trouble refuses to start")),
                "panic" => panic!("trouble panics at its creation"),
                _ => Ok(settings),
            }
        }

        fn routes(routes: &mut Routes<Self>) {
            routes.add(routes!(panics)).add(routes!(hangs)).add(routes!(fine));
        }
    }

    /// Panics.
    #[utoipa::path(get, path = "/trouble/panics", security(()), responses((status = 200, body = String)))]
    async fn panics(trouble: This<Trouble>) -> String {
        assert!(trouble.mode.is_empty(), "trouble panics");
        "never".to_owned()
    }

    /// Hangs.
    #[utoipa::path(get, path = "/trouble/hangs", security(()), responses((status = 200, body = String)))]
    async fn hangs() -> String {
        std::future::pending::<()>().await;
        "never".to_owned()
    }

    /// Answers.
    #[utoipa::path(get, path = "/trouble/fine", security(()), responses((status = 200, body = String)))]
    async fn fine() -> String {
        "fine".to_owned()
    }
}

mod postman {
    use jackfield_sdk::prelude::*;

    /// Settings.
    #[derive(Config)]
    pub(crate) struct Settings {
        /// Switches it on: where the links of its mail lead to.
        #[config(env = "POSTMAN_LINK", enables)]
        link: String,
    }

    pub(crate) struct Postman {
        link: String,
        mail: Mail,
    }

    #[plugin(id = "postman", capabilities("mail"))]
    impl Plugin for Postman {
        type Config = Settings;

        async fn create(settings: Settings, host: Host) -> Result<Self> {
            Ok(Self {
                link: settings.link,
                mail: host.mail(),
            })
        }

        fn routes(routes: &mut Routes<Self>) {
            routes.add(routes!(sends));
        }
    }

    /// Sends a link to an address; what keeps it from doing so is told.
    #[utoipa::path(post, path = "/postman", security(()), request_body = String, responses((status = 200, body = String), Problem))]
    async fn sends(postman: This<Postman>, Json(to): Json<String>) -> Result<String> {
        let mail = NewMail::new(&to, "sign-in-link").value("link", postman.link.as_str());
        let sent = postman.mail.send(mail.key(to)).await;
        let refused = |error: Error| {
            let why = error.to_string();
            Error::refused(StatusCode::SERVICE_UNAVAILABLE, why.clone()).tell(why)
        };
        sent.map(|id| id.to_string()).map_err(refused)
    }
}

fn main() -> std::process::ExitCode {
    jackfield_server::main()
}
