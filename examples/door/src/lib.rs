//! Greets visitors, and notes who rang the bell.
use jackfield_sdk::prelude::*;
#[derive(Config)]
pub struct Door {
    /// What visitors are greeted with.
    #[config(default = "Hello", env = "DOOR_GREETING")]
    greeting: String,
    /// Secrets the bell signs with; the plugin is on when there is one.
    #[config(env = "DOOR_SECRET", enables)]
    secrets: SigningSecrets,
}

#[plugin(id = "door")]
impl Plugin for Door {
    type Config = Self;
    async fn create(settings: Self, _host: Host) -> Result<Self> {
        Ok(settings)
    }
    fn routes(routes: &mut Routes<Self>) {
        routes.add(routes!(greet));
    }
    fn webhooks(hooks: &mut Webhooks<Self>) {
        let signed = Verify::hmac_sha256("X-Bell-Signature").secrets("secrets");
        hooks.at("/door/bell").verify(signed).handle(rang);
    }
    async fn health(&self) -> Result<Health> {
        let silent = Health::degraded("there is no greeting; set DOOR_GREETING");
        Ok(if self.greeting.is_empty() { silent } else { Health::ok() })
    }
}

/// Greets a visitor.
#[utoipa::path(get, path = "/door", security(()), responses((status = 200, body = String)))]
async fn greet(door: This<Door>) -> String {
    format!("{}, visitor", door.greeting)
}
async fn rang(door: &Door, run: Run, Json(who): Json<String>) -> Result<Outcome> {
    let who = run.step("note", |_| async { Ok(who) }).await?;
    Ok(Outcome::done(format!("{}, {who}", door.greeting)))
}
