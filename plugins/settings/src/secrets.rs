//! `/api/secrets`: secrets that a person's conversations find in their environment.
//!
//! A secret is a row of its own. Value and description are sealed; the value is in no answer.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use jackfield_sdk::{database::Statement, prelude::*};
use serde_json::{Value, json};

use crate::{
    Settings,
    answer::{Answer, Refused, SettingsError, SettingsMessage, SettingsMistakes, done, failed},
    body::{Body, Null, names_variable},
};

/// Most secrets of a person in an organisation.
const SECRETS: i64 = 100;
/// Longest name, in characters.
const NAME: usize = 255;
/// Longest value, in characters.
const VALUE: usize = 64 * 1024;
/// Longest description, in characters.
const DESCRIPTION: usize = 4_096;
/// Descriptions that are opened at once.
const AT_ONCE: usize = 8;

/// Secrets without their values.
#[derive(Serialize, ToSchema)]
pub(crate) struct CustomSecrets {
    custom_secrets: Vec<CustomSecret>,
}

/// A secret without its value.
#[derive(Serialize, ToSchema)]
pub(crate) struct CustomSecret {
    name: String,
    description: Option<String>,
}

/// A secret to make.
#[derive(ToSchema)]
pub(crate) struct NewCustomSecret {
    /// Name of the environment variable.
    name: String,
    /// Value.
    value: String,
    /// What it is for.
    description: Option<String>,
}

/// What of a secret can be changed; its value cannot.
#[derive(ToSchema)]
pub(crate) struct ChangedCustomSecret {
    /// Name of the environment variable.
    name: String,
    /// What it is for; none when left out.
    description: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    value: String,
    description: Option<String>,
}

/// Names and descriptions of the person's secrets in the organisation, by name.
#[utoipa::path(get, path = "/api/secrets", responses((status = 200, body = CustomSecrets), (status = 500, body = SettingsError)))]
pub(crate) async fn list(settings: This<Settings>, who: Person) -> Answer<Json<CustomSecrets>> {
    let custom_secrets = settings
        .secrets(&who)
        .await
        .map_err(failed("Failed to get secret names"))?;
    Ok(Json(CustomSecrets { custom_secrets }))
}

/// Makes a secret.
#[utoipa::path(post, path = "/api/secrets", request_body = NewCustomSecret,
    responses((status = 201, body = SettingsMessage), (status = 400, body = SettingsMessage), (status = 422, body = SettingsMistakes)))]
pub(crate) async fn create(settings: This<Settings>, who: Person, body: Bytes) -> Answer<(StatusCode, Json<Value>)> {
    let mut body = Body::read(&body)?;
    let (name, value) = (name(&mut body), body.required("value", VALUE));
    let description = body.secret("description", DESCRIPTION, Null::Allowed).flatten();
    let (name, value) = body.checked(name.zip(value))?;
    let new = NewCustomSecret {
        name,
        value,
        description,
    };
    settings.create_secret(&who, new).await?;
    Ok((StatusCode::CREATED, done("Secret created successfully")))
}

/// Renames a secret, or describes it anew.
#[utoipa::path(put, path = "/api/secrets/{secret_id}", request_body = ChangedCustomSecret,
    params(("secret_id" = String, Path, description = "Name of the secret")),
    responses((status = 200, body = SettingsMessage), (status = 400, body = SettingsMessage),
        (status = 404, body = SettingsError), (status = 422, body = SettingsMistakes)))]
pub(crate) async fn update(
    settings: This<Settings>,
    who: Person,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer<Json<Value>> {
    let mut body = Body::read(&body)?;
    let name = name(&mut body);
    let description = body.secret("description", DESCRIPTION, Null::Allowed).flatten();
    let name = body.checked(name)?;
    settings
        .update_secret(&who, &id, ChangedCustomSecret { name, description })
        .await?;
    Ok(done("Secret updated successfully"))
}

/// Deletes a secret.
#[utoipa::path(delete, path = "/api/secrets/{secret_id}", params(("secret_id" = String, Path, description = "Name of the secret")),
    responses((status = 200, body = SettingsMessage), (status = 404, body = SettingsError)))]
pub(crate) async fn delete(settings: This<Settings>, who: Person, Path(id): Path<String>) -> Answer<Json<Value>> {
    let failed = failed("Something went wrong deleting secret");
    let gone = sql(
        "DELETE FROM custom_secret WHERE person = $1 AND organization = $2 AND name = $3 RETURNING name, value, description",
    );
    let gone = gone.bind(&who.id).bind(&who.organization).bind(&id);
    let gone: Option<Row> = settings.database.query_one(gone).await.map_err(failed)?;
    let gone = gone.ok_or_else(|| unknown(&id))?;
    let places = [Some(gone.value), gone.description].into_iter().flatten();
    settings.sealed.forget(&who.organization, places).await;
    settings
        .noted(&who, "secret.deleted", &gone.name)
        .await
        .map_err(failed)?;
    Ok(done("Secret deleted successfully"))
}

/// A name that an environment variable can have.
fn name(body: &mut Body) -> Option<String> {
    let name = body.required("name", NAME)?;
    if names_variable(&name) {
        return Some(name);
    }
    let says = "String should match pattern '^[A-Za-z_][A-Za-z0-9_]*$': a secret is an environment variable";
    body.wrong("string_pattern_mismatch", "name", says, None);
    None
}

fn unknown(id: &str) -> Refused {
    Refused::error(StatusCode::NOT_FOUND, format!("Secret with ID {id} not found"))
}

fn exists(name: &str) -> Refused {
    Refused::message(format!("Secret {name} already exists"))
}

fn select(who: &Person, name: &str) -> Statement {
    let text =
        "SELECT name, value, description FROM custom_secret WHERE person = $1 AND organization = $2 AND name = $3";
    sql(text).bind(&who.id).bind(&who.organization).bind(name)
}

impl Settings {
    async fn secrets(&self, who: &Person) -> Result<Vec<CustomSecret>> {
        let text =
            "SELECT name, value, description FROM custom_secret WHERE person = $1 AND organization = $2 ORDER BY name";
        let rows: Vec<Row> = self
            .database
            .query_as(sql(text).bind(&who.id).bind(&who.organization))
            .await?;
        let opened = stream::iter(rows).map(|row| async move {
            let name = row.name.clone();
            let description = Some(self.description(who, row).await?);
            Ok::<_, Error>(CustomSecret { name, description })
        });
        opened.buffered(AT_ONCE).try_collect().await
    }

    /// What a secret is for. A description that was replaced since `row` was read is read again.
    async fn description(&self, who: &Person, row: Row) -> Result<String> {
        let mut place = row.description;
        for _ in 0..3 {
            let Some(named) = place else { return Ok(String::new()) };
            if let Some(text) = self.sealed.open(&who.organization, &named).await? {
                return Ok(text.expose().to_owned());
            }
            let now: Option<Row> = self.database.query_one(select(who, &row.name)).await?;
            place = now.and_then(|row| row.description);
        }
        Err(Error::transient("a description was not in the vault three times"))
    }

    async fn create_secret(&self, who: &Person, new: NewCustomSecret) -> Answer<()> {
        let failed = failed("Something went wrong creating secret");
        let there: Option<Row> = self.database.query_one(select(who, &new.name)).await.map_err(failed)?;
        if there.is_some() {
            return Err(exists(&new.name));
        }
        let value = self.sealed.seal(&who.organization, new.value);
        let value = value.await.map_err(failed)?;
        let description = self.sealed_description(who, new.description).await.map_err(failed)?;
        let insert = sql(
            "INSERT INTO custom_secret (person, organization, name, value, description) \
            SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM custom_secret WHERE person = $1 AND organization = $2) < $6 \
            ON CONFLICT (person, organization, name) DO NOTHING",
        );
        let insert = insert.bind(&who.id).bind(&who.organization).bind(&new.name);
        let insert = insert.bind(&value).bind(description.clone()).bind(SECRETS);
        if self.database.execute(insert).await.map_err(failed)? == 1 {
            return self.noted(who, "secret.created", &new.name).await.map_err(failed);
        }
        self.sealed
            .forget(&who.organization, [Some(value), description].into_iter().flatten())
            .await;
        let there: Option<Row> = self.database.query_one(select(who, &new.name)).await.map_err(failed)?;
        Err(match there {
            Some(_) => exists(&new.name),
            None => Refused::message(format!("There are {SECRETS} secrets; delete one first")),
        })
    }

    async fn update_secret(&self, who: &Person, id: &str, new: ChangedCustomSecret) -> Answer<()> {
        let failed = failed("Something went wrong updating secret");
        let there: Option<Row> = self.database.query_one(select(who, id)).await.map_err(failed)?;
        let there = there.ok_or_else(|| unknown(id))?;
        let description = self.sealed_description(who, new.description).await.map_err(failed)?;
        let update = sql("UPDATE custom_secret SET name = $1, description = $2 \
            WHERE person = $3 AND organization = $4 AND name = $5 AND ($1 = $5 OR NOT EXISTS ( \
                SELECT 1 FROM custom_secret AS other WHERE other.person = $3 AND other.organization = $4 AND other.name = $1))");
        let update = update.bind(&new.name).bind(description.clone());
        let update = update.bind(&who.id).bind(&who.organization).bind(id);
        let updated = self.database.execute(update).await;
        if let Ok(1) = updated {
            self.sealed.forget(&who.organization, there.description).await;
            return self.noted(who, "secret.updated", &new.name).await.map_err(failed);
        }
        // Nothing was written: the name is taken, also when somebody took it at this moment, or the secret is gone.
        let other: Option<Row> = self.database.query_one(select(who, &new.name)).await.map_err(failed)?;
        match (updated, other) {
            (_, Some(_)) if new.name != id => Err(exists(&new.name)),
            (Err(error), _) => Err(failed(error)),
            _ => Err(unknown(id)),
        }
    }

    async fn sealed_description(&self, who: &Person, text: Option<String>) -> Result<Option<String>> {
        match text.filter(|text| !text.is_empty()) {
            Some(text) => self.sealed.seal(&who.organization, text).await.map(Some),
            None => Ok(None),
        }
    }

    async fn noted(&self, who: &Person, action: &str, name: &str) -> Result<()> {
        self.note(who, action, &format!("secret:{name}"), json!({})).await
    }
}
