//! A host with two guests compiled in that nobody would want: one claims a path that is taken, one panics, hangs, and may not
//! even start. What they do must be nobody else's trouble.

#![allow(missing_docs)]

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

fn main() -> std::process::ExitCode {
    jackfield_server::main()
}
