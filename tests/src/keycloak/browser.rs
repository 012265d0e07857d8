//! A browser without a screen: it keeps cookies, follows redirects, and fills in Keycloak's forms. Every hop is kept.

use std::net::IpAddr;

use reqwest::{
    Method, Response, StatusCode, Url,
    header::{ACCEPT, COOKIE, HeaderMap, LOCATION, ORIGIN},
    redirect::Policy,
};

use serde_json::Value;

use super::{jar::Jar, page};

/// More redirects than this are a loop.
const HOPS: usize = 20;

/// One request and the status that it got.
#[derive(Debug, Clone)]
pub struct Hop {
    /// How it was asked.
    pub method: Method,
    /// What was asked.
    pub url: Url,
    /// What came.
    pub status: u16,
}

/// Where a walk ended.
#[derive(Debug)]
pub struct Visit {
    /// Every request, in order.
    pub hops: Vec<Hop>,
    /// The last address.
    pub url: Url,
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
    /// The redirect that was not followed, because the browser was told so.
    pub held: Option<Url>,
}

impl Visit {
    /// Whether this is Keycloak's login page.
    pub fn is_login(&self) -> bool {
        page::form(&self.body, "kc-form-login").is_some()
    }

    /// Where the page's link leads whose address holds `part`.
    pub fn link(&self, part: &str) -> Option<String> {
        page::link_to(&self.body, part)
    }

    /// The first hop whose address begins so.
    pub fn hop(&self, begin: &str) -> Option<&Hop> {
        self.hops.iter().find(|hop| hop.url.as_str().starts_with(begin))
    }
}

/// A browser with nobody signed in.
pub struct Browser {
    client: reqwest::Client,
    jar: Jar,
    hold: Option<String>,
}

impl Default for Browser {
    fn default() -> Self {
        Self::new()
    }
}

impl Browser {
    /// A fresh one.
    pub fn new() -> Self {
        Self::on(None)
    }

    /// A fresh one on a machine with this address.
    pub fn at(address: IpAddr) -> Self {
        Self::on(Some(address))
    }

    fn on(address: Option<IpAddr>) -> Self {
        let client = reqwest::Client::builder()
            .local_address(address)
            .no_proxy()
            .redirect(Policy::none())
            // Test hosts' certificates are their own.
            .tls_danger_accept_invalid_certs(true)
            .timeout(std::time::Duration::from_secs(60))
            .build()
            .unwrap();
        Self {
            client,
            jar: Jar::default(),
            hold: None,
        }
    }

    /// From now on a redirect to an address that begins so is not followed but given as [`Visit::held`]: a test may change it, or ask
    /// twice. `None` follows everything again.
    pub fn hold(&mut self, begin: Option<&str>) {
        self.hold = begin.map(str::to_owned);
    }

    /// The value of a cookie that would be sent to this address.
    pub fn cookie(&self, url: &str, name: &str) -> Option<String> {
        self.jar.value(&url.parse().unwrap(), name)
    }

    /// The `Cookie` header for this address, for requests that a page's script would make.
    pub fn cookies(&self, url: &str) -> String {
        self.jar.header(&url.parse().unwrap()).unwrap_or_default()
    }

    /// Goes to an address, as when it is typed.
    pub async fn open(&mut self, url: &str) -> Visit {
        self.walk(Method::GET, url.parse().unwrap(), &[], None, Vec::new())
            .await
    }

    /// What a page's own script asks its host, and is answered; cookies go and come as with pages.
    pub async fn fetch(&mut self, method: Method, url: &str, body: Option<&Value>) -> Visit {
        let url: Url = url.parse().unwrap();
        let mut request = self
            .client
            .request(method.clone(), url.clone())
            .header(ACCEPT, "application/json, text/plain, */*")
            .header("sec-fetch-dest", "empty")
            .header("sec-fetch-mode", "cors")
            .header("sec-fetch-site", "same-origin");
        if method != Method::GET {
            request = request.header(ORIGIN, url.origin().ascii_serialization());
        }
        if let Some(cookies) = self.jar.header(&url) {
            request = request.header(COOKIE, cookies);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        self.jar.take(&url, &headers);
        Visit {
            hops: vec![Hop {
                method,
                url: url.clone(),
                status,
            }],
            url,
            status,
            headers,
            body: response.text().await.unwrap_or_default(),
            held: None,
        }
    }

    /// Goes to `start`, fills in Keycloak's login form, and goes where that leads. A person who is signed in at Keycloak never sees the
    /// form, and a refused one sees it again: look at [`Visit::is_login`].
    pub async fn sign_in(&mut self, start: &str, username: &str, password: &str) -> Visit {
        let page = self.open(start).await;
        if !page.is_login() {
            return page;
        }
        self.submit(page, "kc-form-login", &[("username", username), ("password", password)])
            .await
    }

    /// Goes to `start`, and on Keycloak's login page to the provider. A start that names the provider (`kc_idp_hint`) goes there by
    /// itself.
    pub async fn sign_in_with(&mut self, start: &str, provider: &str) -> Visit {
        let page = self.open(start).await;
        match page::link(&page.body, &format!("social-{provider}")) {
            Some(link) => self.follow(page, &link).await,
            None => page,
        }
    }

    /// Sends the form with this `id`, with these fields beside its hidden ones.
    pub async fn submit(&mut self, page: Visit, form: &str, fields: &[(&str, &str)]) -> Visit {
        let form = page::form(&page.body, form).unwrap_or_else(|| panic!("no form `{form}` at {}", page.url));
        let mut all: Vec<(&str, &str)> = form.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        all.extend(fields);
        let target = page.url.join(&form.action).unwrap();
        self.walk(Method::POST, target, &all, Some(&page.url), page.hops).await
    }

    /// Clicks the link whose address holds `part`.
    pub async fn click(&mut self, page: Visit, part: &str) -> Visit {
        let link = page
            .link(part)
            .unwrap_or_else(|| panic!("no link to `{part}`: {page:#?}"));
        self.follow(page, &link).await
    }

    /// Clicks a link.
    async fn follow(&mut self, page: Visit, link: &str) -> Visit {
        let target = page.url.join(link).unwrap();
        self.walk(Method::GET, target, &[], Some(&page.url), page.hops).await
    }

    async fn walk(
        &mut self,
        mut method: Method,
        mut url: Url,
        fields: &[(&str, &str)],
        from: Option<&Url>,
        mut hops: Vec<Hop>,
    ) -> Visit {
        let mut relation = from.map(|from| Relation::between(from, &url));
        for _ in 0..HOPS {
            let response = self.request(&method, &url, fields, (from, relation)).await;
            let (status, headers) = (response.status(), response.headers().clone());
            hops.push(Hop {
                method: method.clone(),
                url: url.clone(),
                status: status.as_u16(),
            });
            self.jar.take(&url, &headers);
            let target = status
                .is_redirection()
                .then(|| headers.get(LOCATION))
                .flatten()
                .map(|place| url.join(place.to_str().unwrap()).unwrap());
            let held = |target: &&Url| self.hold.as_ref().is_some_and(|hold| target.as_str().starts_with(hold));
            match target {
                Some(target) if !held(&&target) => {
                    // As browsers do: everything but 307 and 308 goes on with GET.
                    if ![StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT].contains(&status) {
                        method = Method::GET;
                    }
                    relation = relation.map(|before| before.max(Relation::between(&url, &target)));
                    url = target;
                }
                held => {
                    return Visit {
                        hops,
                        url,
                        status: status.as_u16(),
                        headers,
                        body: response.text().await.unwrap_or_default(),
                        held,
                    };
                }
            }
        }
        panic!("more than {HOPS} redirects: {hops:#?}");
    }

    async fn request(
        &self,
        method: &Method,
        url: &Url,
        fields: &[(&str, &str)],
        (from, relation): (Option<&Url>, Option<Relation>),
    ) -> Response {
        let mut request = self
            .client
            .request(method.clone(), url.clone())
            .header(ACCEPT, "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-site", relation.map_or("none", Relation::name));
        if let Some(cookies) = self.jar.header(url) {
            request = request.header(COOKIE, cookies);
        }
        if *method != Method::GET {
            request = request.form(fields);
            if let Some(from) = from {
                request = request.header(ORIGIN, from.origin().ascii_serialization());
            }
        }
        request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{method} {url}: {error}"))
    }
}

/// What `Sec-Fetch-Site` says; over a chain of redirects the farthest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Relation {
    SameOrigin,
    SameSite,
    CrossSite,
}

impl Relation {
    fn between(from: &Url, to: &Url) -> Self {
        if from.origin() == to.origin() {
            Self::SameOrigin
        } else if (from.scheme(), from.host()) == (to.scheme(), to.host()) {
            Self::SameSite
        } else {
            Self::CrossSite
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::SameOrigin => "same-origin",
            Self::SameSite => "same-site",
            Self::CrossSite => "cross-site",
        }
    }
}
