//! Asks for a token, as the file says, and takes one into use. One call; what is kept of its answer for others is the caller's.

use std::time::Instant;

use chrono::Utc;
use reqwest::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tidemark_core::failure::{Class, Failure};

use super::Engine;
use super::auth::{Auth, REFRESH, TokenAuth};
use super::calling::{address, basic, json_of, sensitive, unsent};
use super::hole::{Constants, Values};
use super::request::encode;
use super::session::{Token as Held, Told};
use super::statement::{KEY, key_of};
use crate::http::{Content, Intent, JSON, Method, Request};
use crate::{Answer, Grant, Token};

const FORM: &str = "application/x-www-form-urlencoded";

impl Engine {
    /// Asks for a token for this process alone. One at a time: who waited finds it there and asks nobody.
    pub(super) async fn sign_in(&self) -> Answer<()> {
        let _turn = self.signing_in.lock().await;
        if self.session.current(Instant::now()).is_some() {
            return Answer { result: Ok(()), callout: unsent(self.signing_in_words(), "").callout };
        }
        let answer = self.ask_for_token(None).await;
        Answer { result: answer.result.and_then(|token| self.take(&token, true)), callout: answer.callout }
    }

    pub(super) fn shared_grant(&self) -> Option<Grant> {
        let Auth::Token(auth) = &self.connector.auth else { return None };
        let mut digest = Sha256::new();
        for part in [&self.connector.name, &self.environment] {
            digest.update(part.as_bytes());
            digest.update([0_u8]);
        }
        for (name, secret) in &self.constants.secrets {
            digest.update(name.as_bytes());
            digest.update([0_u8]);
            digest.update(secret.expose_secret().as_bytes());
            digest.update([0_u8]);
        }
        // Whom a statement speaks for is said by settings: a token for somebody else is none.
        for (name, text) in self.constants.settings.iter().filter(|_| auth.statement.is_some()) {
            digest.update(name.as_bytes());
            digest.update([0_u8]);
            digest.update(text.as_bytes());
            digest.update([0_u8]);
        }
        let digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        auth.shares.then(|| Grant { digest, rotates: auth.rotates.is_some() })
    }

    /// `kept`: of the last token, whose refresh token is the one that is good.
    pub(super) async fn ask_for_token(&self, kept: Option<&SecretString>) -> Answer<Token> {
        let tried = self.signing_in_words();
        let Auth::Token(auth) = &self.connector.auth else {
            return unsent(tried, "nothing has to be asked for").settle(|reply| Err(reply.malformed("nothing was asked")));
        };
        let last = kept.and_then(Told::parse).and_then(|told| told.refresh);
        let request = match self.token_request(auth, last.as_ref(), tried.clone()) {
            Ok(request) => request,
            Err(why) => return unsent(tried, &why).settle(|reply| Err(reply.malformed("nothing was asked"))),
        };
        let mut exchange = self.client.send(request).await;
        exchange.reply = exchange.reply.and_then(|reply| {
            let body = json_of(&reply);
            let refused = auth.refused.as_ref().is_some_and(|at| at.find(&body).is_some_and(|told| !told.is_null()));
            if reply.is_success() && !refused {
                return Ok(reply);
            }
            let mut failure = self.refusals().of_call(&reply);
            // Whoever refuses to give a token refuses the credentials, whatever words it has for records.
            if !matches!(failure.class, Class::Throttled | Class::DayBudget | Class::Retry) {
                failure.class = Class::Auth;
            }
            Err(failure)
        });
        exchange.settle(|reply| {
            let useless = |what| Failure::new(Class::Auth, format!("{}: the answer is of no use: {what}", reply.tried));
            let (mut told, lives) = Told::read(auth, &json_of(&reply)).map_err(useless)?;
            // Some give a new one now and then.
            told.refresh = told.refresh.or(last);
            told.secrets().for_each(|secret| self.client.hide(secret));
            Ok(Token { text: told.text(), lives })
        })
    }

    pub(super) fn take(&self, token: &Token, own: bool) -> Result<(), Failure> {
        let strange = || Failure::new(Class::Retry, format!("{}: what was kept cannot be read", self.signing_in_words()));
        let told = Told::parse(&token.text).ok_or_else(strange)?;
        told.secrets().for_each(|secret| self.client.hide(secret));
        self.session.keep(Held::of(told, token.lives, !own, Instant::now()));
        Ok(())
    }

    fn signing_in_words(&self) -> String {
        format!("signing in to {}", self.connector.vendor)
    }

    fn token_request(&self, auth: &TokenAuth, refresh: Option<&String>, tried: String) -> Result<Request, String> {
        let with_last: Constants;
        let constants = match refresh {
            Some(refresh) => {
                let mut constants = self.constants.with_kept(None);
                constants.secrets.insert(REFRESH.to_owned(), SecretString::from(refresh.as_str()));
                with_last = constants;
                &with_last
            }
            None => &self.constants,
        };
        let values = Values { constants: Some(constants), ..Values::default() };
        let built = auth.form.build(&values)?;
        let base = match (&auth.host, self.own_host) {
            (Some(host), false) => Some(address(host, constants)?),
            _ => self.host(constants)?,
        };
        let mut headers = built.headers;
        if let Some((user, password)) = &auth.client {
            headers.push((AUTHORIZATION, sensitive(&basic(&user.text(&values)?, &password.text(&values)?))?));
        }
        let mut form = String::new();
        let mut add = |name: &str, text: &str| {
            form.push_str(if form.is_empty() { "" } else { "&" });
            encode(&mut form, name);
            form.push('=');
            encode(&mut form, text);
        };
        for (name, template) in &auth.fields {
            add(name, &template.text(&values)?);
        }
        if let (Some(statement), Some(key)) = (&auth.statement, constants.secrets.get(KEY)) {
            let key = key_of(key).map_err(|what| format!("secret.{KEY} {what}"))?;
            add("assertion", &statement.signed(&values, &key, Utc::now().timestamp())?);
        }
        let body = match built.body {
            Some(bytes) => Content { kind: JSON, bytes },
            None => Content { kind: FORM, bytes: form.into_bytes() },
        };
        // Nothing of the CRM's records changes.
        let (intent, body) = (Intent::Read, (built.method != Method::GET).then_some(body));
        Ok(Request {
            intent,
            method: built.method,
            base,
            path: built.path,
            endpoint: built.endpoint,
            headers,
            body,
            cost: built.cost,
            tried,
        })
    }
}
