//! Decodes a document that is held in memory, with the places of its parts.

use serde::de::value::{Error, MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IntoDeserializer, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::{Node, Placed};
use crate::located::WITH_PLACE;

/// A part, to be decoded.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a Placed);

impl<'a> IntoDeserializer<'_, Error> for Reader<'a> {
    type Deserializer = Reader<'a>;
    fn into_deserializer(self) -> Reader<'a> {
        self
    }
}

/// Line, column and value of a part.
struct WithPlace<'a> {
    part: &'a Placed,
    given: u8,
}

impl<'de> SeqAccess<'de> for WithPlace<'_> {
    type Error = Error;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.given += 1;
        match self.given {
            1 => seed.deserialize(self.part.at.line.into_deserializer()).map(Some),
            2 => seed.deserialize(self.part.at.column.into_deserializer()).map(Some),
            3 => seed.deserialize(Reader(self.part)).map(Some),
            _ => Ok(None),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.node {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => visitor.visit_u64(number),
                (None, Some(number), _) => visitor.visit_i64(number),
                (None, None, number) => visitor.visit_f64(number.unwrap_or_default()),
            },
            Node::Text(text) => visitor.visit_str(text),
            Node::List(items) => visitor.visit_seq(SeqDeserializer::new(items.iter().map(Reader))),
            Node::Map(entries) => {
                let entries = entries.iter().map(|entry| (entry.key.as_str(), Reader(&entry.value)));
                visitor.visit_map(MapDeserializer::new(entries))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.node {
            Node::Null => visitor.visit_none(),
            Node::Bool(_) | Node::Number(_) | Node::Text(_) | Node::List(_) | Node::Map(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.node {
            // What stands without quotes is text where text is wanted.
            Node::Bool(value) => visitor.visit_string(value.to_string()),
            Node::Number(number) => visitor.visit_string(number.to_string()),
            Node::Null | Node::Text(_) | Node::List(_) | Node::Map(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name == WITH_PLACE {
            return visitor.visit_seq(WithPlace { part: self.0, given: 0 });
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.0.node {
            Node::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Node::Map(entries) => {
                let entries = entries.iter().map(|entry| (entry.key.as_str(), Reader(&entry.value)));
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(entries)))
            }
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::List(_) => Err(Error::custom("expected a word")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}
