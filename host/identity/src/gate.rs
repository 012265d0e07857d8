//! Who passes: asked once for each request, with the rules of the route that was found.

use async_trait::async_trait;
use axum::{body::Body, response::Response};
use http::{HeaderMap, Method, Request, StatusCode, header};
use jackfield_edge::{ClientAddr, PeerCred};
use jackfield_limits::Verdict;
use jackfield_plugins::{Guard, Passed, Rules};
use jackfield_sdk::{
    Principal,
    descriptor::{Gate, Policy},
};

use crate::{
    caller::{Caller, away, refusal, refusal_with},
    core::Identity,
    limits,
};

#[async_trait]
impl Guard for Identity {
    async fn pass(&self, rules: &Rules, request: &mut Request<Body>) -> Result<Passed, Response> {
        let peer = request.extensions().get::<PeerCred>().copied();
        let address = request.extensions().get::<ClientAddr>().cloned();
        let caller = self.caller(peer, request.headers()).await;
        let by_cookie = matches!(caller, Caller::Known { by_cookie: true, .. });
        if by_cookie && !self.is_from_our_pages(request.method(), request.headers()) {
            return Err(refusal_with(
                StatusCode::FORBIDDEN,
                "CrossSiteRequest",
                "a page of another site may not act with this cookie; send an API key, or add the site to cors.origins",
            ));
        }
        let mut passed = Passed::default();
        if let Some(verdict) = self
            .count(rules, &caller, address.as_ref().map(ClientAddr::as_str))
            .await
        {
            limits::refuse(&verdict).map_or(Ok(()), Err)?;
            passed.headers.extend(verdict.headers());
        }
        if rules.policy != Policy::Public {
            self.refuse(rules, &caller).map_or(Ok(()), Err)?;
        }
        if let Some(principal) = caller.principal() {
            passed.session = principal.session.clone().filter(|_| by_cookie);
            request.extensions_mut().insert(principal);
        }
        Ok(passed)
    }

    fn leave(&self, passed: Passed, response: &mut Response) {
        response.headers_mut().extend(passed.headers);
        let ended = passed.session.as_ref().is_some_and(|id| self.0.cache.has_ended(id));
        if ended && let Some(cookie) = self.clear_cookie() {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
}

impl Identity {
    /// Counts the request, where it is counted.
    async fn count(&self, rules: &Rules, caller: &Caller, address: Option<&str>) -> Option<Verdict> {
        let class = rules.rate_limit.as_deref();
        let rates = &self.0.rates;
        match caller {
            Caller::Known { known, .. } => rates.known(class, &known.person).await,
            Caller::BadKey | Caller::BadCookie => Some(rates.guess(address?).await),
            Caller::Anonymous => rates.anonymous(class, address?).await,
            Caller::Operator | Caller::Away => None,
        }
    }

    /// The answer to who may not pass a route that is not public.
    fn refuse(&self, rules: &Rules, caller: &Caller) -> Option<Response> {
        let principal = match caller {
            Caller::Anonymous | Caller::BadKey => return Some(refusal(StatusCode::UNAUTHORIZED, "NoCredentialsError")),
            Caller::Away => return Some(away()),
            Caller::BadCookie => {
                let mut response = refusal(StatusCode::UNAUTHORIZED, "Invalid authentication token");
                if let Some(cookie) = self.clear_cookie() {
                    response.headers_mut().append(header::SET_COOKIE, cookie);
                }
                return Some(response);
            }
            Caller::Operator => return None,
            Caller::Known { known, .. } => {
                let needs = |gate| !rules.before.contains(&gate);
                if !known.accepted_terms && needs(Gate::Terms) {
                    return Some(refusal(StatusCode::UNAUTHORIZED, "TosNotAcceptedError"));
                }
                if !known.verified_email && needs(Gate::Email) {
                    return Some(refusal(StatusCode::FORBIDDEN, "EmailNotVerifiedError"));
                }
                &known.principal
            }
        };
        lacks(principal, &rules.policy)
    }

    /// Whether a request with a cookie comes from a page of ours, or from no page. What only reads is let through: its answer
    /// is kept from other sites by CORS.
    fn is_from_our_pages(&self, method: &Method, headers: &HeaderMap) -> bool {
        let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let upgrades = headers.contains_key(header::UPGRADE);
        if method.is_safe() && !upgrades {
            return true;
        }
        if let Some(origin) = text(header::ORIGIN) {
            return origin == self.base_origin(headers)
                || self.0.places.load().origins.iter().any(|known| known == origin);
        }
        match headers.get("sec-fetch-site").and_then(|value| value.to_str().ok()) {
            Some(site) => matches!(site, "same-origin" | "none"),
            None => true,
        }
    }

    fn base_origin(&self, headers: &HeaderMap) -> String {
        url::Url::parse(&self.base(headers)).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
    }
}

fn lacks(principal: &Principal, policy: &Policy) -> Option<Response> {
    let Policy::Scopes(scopes) = policy else { return None };
    if principal.holds(scopes) {
        return None;
    }
    let detail = format!("this needs the scope {}", scopes.join(" "));
    Some(refusal_with(StatusCode::FORBIDDEN, "Forbidden", &detail))
}
