//! Tells what a connector's file comes to, for whoever chooses a connector or writes one. Decides nothing.

use std::collections::BTreeMap;

use super::connector::Connector;
use super::object::Object;
use crate::catalog::{Entry, ObjectEntry};

impl Connector {
    pub(crate) fn entry(&self, file: Option<String>) -> Entry {
        let named = self.listed().map(|(name, object)| (name.to_owned(), object.entry()));
        let said = self.settings.iter().filter(|(_, setting)| setting.is_said());
        Entry {
            name: self.name.clone(),
            vendor: self.vendor.clone(),
            file,
            one_way: false,
            secrets: self.secrets.clone(),
            settings: said.map(|(name, setting)| (name.clone(), setting.about.clone())).collect(),
            objects: named.collect::<BTreeMap<_, _>>(),
        }
    }
}

impl Object {
    fn entry(&self) -> ObjectEntry {
        let can = [
            ("read_deletes", self.deletes.is_some()),
            ("create", self.create.is_some()),
            ("update", self.update.is_some()),
            ("upsert", self.upsert.is_some()),
            ("archive", self.archive.is_some()),
            ("look_up", self.look_up.is_some()),
            ("read_archived", self.read_archived.is_some()),
            ("describe", self.describe.is_some()),
            ("make_key", self.create_key.is_some()),
            ("refer", !self.references.is_empty()),
        ];
        let can = can.into_iter().filter(|(_, can)| *can).map(|(word, _)| word).collect();
        ObjectEntry { can, traits: self.traits.clone() }
    }
}
