//! What of a CRM the cases are about: one object, three of its properties, and what is known of them beforehand. Asks nobody.

/// One object, as a mapping of customers would name it.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    pub object: String,
    /// A property that holds an e-mail address and can be looked up.
    pub email: String,
    /// A property that holds any text.
    pub name: String,
    /// A property that can be cleared.
    pub phone: String,
    /// A unique property that holds our key, where the CRM has one.
    pub external_key: Option<String>,
    /// What a new record needs beside these.
    pub with: Vec<(String, String)>,
    /// Addresses that are made up are of this domain.
    pub domain: String,
    /// The account that must be behind the credentials.
    pub account: Option<String>,
    pub environment: String,
    /// The names under which a practice CRM keeps e-mail, name and phone, where its own word on values is to be asked.
    pub kept: Option<[String; 3]>,
    /// A second record of the same e-mail and name is refused; `None` where nobody knows.
    pub refuses_doubles: Option<bool>,
    /// A refusal under 200.
    pub says_no_with_200: Option<String>,
    /// What must stand nowhere in what is recorded.
    pub secrets: Vec<String>,
}
