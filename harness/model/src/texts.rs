//! Every text of a scenario that may hold a `{{ }}`, reached through one trait, so that a new word brings its own.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::located::{Located, Text};
use crate::template;

/// A part of a scenario that holds texts.
pub trait Texts {
    /// Hands each text to `change`.
    ///
    /// # Errors
    /// The first error of `change`.
    fn each_text<E>(&mut self, change: &mut dyn FnMut(&mut Text) -> Result<(), E>) -> Result<(), E>;
}

impl Texts for Text {
    fn each_text<E>(&mut self, change: &mut dyn FnMut(&mut Text) -> Result<(), E>) -> Result<(), E> {
        change(self)
    }
}

/// An object written in a scenario: every string in it, keys left alone.
impl Texts for Located<Value> {
    fn each_text<E>(&mut self, change: &mut dyn FnMut(&mut Text) -> Result<(), E>) -> Result<(), E> {
        let at = self.at;
        template::each_string(&mut self.value, &mut |string: &str| {
            let mut text = Located { value: string.to_owned(), at };
            change(&mut text)?;
            Ok(text.value)
        })
    }
}

impl<T: Texts> Texts for Located<T> {
    fn each_text<E>(&mut self, change: &mut dyn FnMut(&mut Text) -> Result<(), E>) -> Result<(), E> {
        self.value.each_text(change)
    }
}

impl<T: Texts> Texts for Box<T> {
    fn each_text<E>(&mut self, change: &mut dyn FnMut(&mut Text) -> Result<(), E>) -> Result<(), E> {
        (**self).each_text(change)
    }
}

impl<T: Texts> Texts for Option<T> {
    fn each_text<E>(&mut self, change: &mut dyn FnMut(&mut Text) -> Result<(), E>) -> Result<(), E> {
        self.iter_mut().try_for_each(|part| part.each_text(change))
    }
}

impl<T: Texts> Texts for Vec<T> {
    fn each_text<E>(&mut self, change: &mut dyn FnMut(&mut Text) -> Result<(), E>) -> Result<(), E> {
        self.iter_mut().try_for_each(|part| part.each_text(change))
    }
}

impl<T: Texts> Texts for BTreeMap<String, T> {
    fn each_text<E>(&mut self, change: &mut dyn FnMut(&mut Text) -> Result<(), E>) -> Result<(), E> {
        self.values_mut().try_for_each(|part| part.each_text(change))
    }
}

/// Says which fields of a word hold texts.
macro_rules! texts {
    ($($word:ty { $($field:ident),* $(,)? })*) => { $(
        impl $crate::texts::Texts for $word {
            fn each_text<E>(
                &mut self,
                change: &mut dyn FnMut(&mut $crate::located::Text) -> Result<(), E>,
            ) -> Result<(), E> {
                $( $crate::texts::Texts::each_text(&mut self.$field, change)?; )*
                Ok(())
            }
        }
    )* };
}

/// Says which variants of a choice hold texts; where others hold none, `..` says so.
macro_rules! texts_of_one {
    ($($choice:ty { $($variant:ident),* $(,)? $(.. $rest:pat)? })*) => { $(
        impl $crate::texts::Texts for $choice {
            fn each_text<E>(
                &mut self,
                change: &mut dyn FnMut(&mut $crate::located::Text) -> Result<(), E>,
            ) -> Result<(), E> {
                match self {
                    $( Self::$variant(part) => $crate::texts::Texts::each_text(part, change), )*
                    $( $rest => Ok(()), )?
                }
            }
        }
    )* };
}

pub(crate) use {texts, texts_of_one};
