//! A YAML document with the place of each of its parts, so that everything that is wrong with a file can be told at once.
//!
//! A file without a fault is decoded by its types directly. One that has faults is held against the JSON Schema of those types,
//! mended where it can be, and decoded all the same: what its references say can then be checked too.

mod check;
mod reader;

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::Spanned;

use crate::located::Position;

pub(crate) use check::{STAND_IN, check};

/// A part of a document, and where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) at: Position,
    pub(crate) node: Node,
}

/// What a part is.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Placed>),
    Map(Vec<Entry>),
}

/// A key with its place, and what it holds.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Position,
    pub(crate) value: Placed,
}

impl Placed {
    /// Reads a document.
    ///
    /// # Errors
    /// It is no YAML.
    pub(crate) fn read(text: &str) -> Result<Self, serde_saphyr::Error> {
        let mut document: Placed = serde_saphyr::from_str::<Spanned<Node>>(text)?.into();
        // What is missing in a document is told at its start, not where its first key happens to be indented to.
        if document.at.line == 0 {
            document.at = Position { line: 1, column: 1 };
        }
        Ok(document)
    }

    /// Decodes a part.
    ///
    /// # Errors
    /// It is no such thing.
    pub(crate) fn decode<T: for<'de> Deserialize<'de>>(&self) -> Result<T, serde::de::value::Error> {
        T::deserialize(reader::Reader(self))
    }

    /// Where a key stands, if the document has it.
    pub(crate) fn place_of_key(&self, key: &str) -> Option<Position> {
        match &self.node {
            Node::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| entry.at),
            _ => None,
        }
    }

    /// Where the value of a key begins; where the document begins when it has no such key.
    pub(crate) fn place_of(&self, key: &str) -> Position {
        match &self.node {
            Node::Map(entries) => entries.iter().find(|entry| entry.key == key).map_or(self.at, |entry| entry.value.at),
            _ => self.at,
        }
    }
}

fn position(location: &serde_saphyr::Location) -> Position {
    Position {
        line: u32::try_from(location.line()).unwrap_or(0),
        column: u32::try_from(location.column()).unwrap_or(0),
    }
}

impl From<Spanned<Node>> for Placed {
    fn from(spanned: Spanned<Node>) -> Self {
        Placed { at: position(&spanned.referenced), node: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part of a document")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Number::from_f64(value).map_or_else(|| Node::Text(value.to_string()), Node::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Node>>()? {
            list.push(item.into());
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let value: Placed = entries.next_value::<Spanned<Node>>()?.into();
            let at = if key.referenced.line() == 0 { value.at } else { position(&key.referenced) };
            map.push(Entry { key: key.value, at, value });
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_know_where_they_stand() {
        let document = Placed::read("a: 1\nlist:\n  - { b: x, c: [true] }\n").unwrap();
        let Node::Map(entries) = &document.node else { panic!("{document:?}") };
        assert_eq!(
            (entries[1].at, entries[1].value.at),
            (Position { line: 2, column: 1 }, Position { line: 3, column: 3 })
        );
        let Node::List(items) = &entries[1].value.node else { panic!("{document:?}") };
        let Node::Map(inner) = &items[0].node else { panic!("{document:?}") };
        assert_eq!(
            (inner[0].key.as_str(), inner[0].at, inner[1].at.column),
            ("b", Position { line: 3, column: 7 }, 13)
        );
        assert_eq!(document.place_of("nothing"), Position { line: 1, column: 1 });
    }
}
