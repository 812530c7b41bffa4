//! The proof that a value went through a mask set.

use std::fmt;
use std::ops::Deref;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::set::MaskSet;

/// A value from which the secrets of its run have been removed.
///
/// Only a [`MaskSet`] makes one; reading it is free (`as_ref`, deref, `into_inner`,
/// `Serialize`). There is deliberately no `From`, no `map` and no `Deserialize`: each would
/// let unmasked content in (secrets §11.7).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Masked<T>(T);

impl<T> Masked<T> {
    /// Called by [`MaskSet`] alone, after it has masked `value`.
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    /// Gives the masked value up; from here on it is an ordinary value again.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> AsRef<T> for Masked<T> {
    fn as_ref(&self) -> &T {
        &self.0
    }
}

impl<T> Deref for Masked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Masked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Masked").field(&self.0).finish()
    }
}

impl<T: fmt::Display> fmt::Display for Masked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Serialize> Serialize for Masked<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

mod sealed {
    /// Keeps [`super::Mask`] to this crate: an implementation elsewhere that changes nothing
    /// would forge a `Masked`.
    pub trait Sealed {}
    impl Sealed for String {}
    impl Sealed for serde_json::Value {}
    impl<T: Sealed> Sealed for Option<T> {}
    impl<T: Sealed> Sealed for Vec<T> {}
}

/// What a [`MaskSet`] can mask: texts, JSON values, and options and lists of them.
pub trait Mask: sealed::Sealed + Sized {
    /// The value without the secrets of `set`. Returned as it came when it holds none.
    #[doc(hidden)]
    fn masked_by(self, set: &MaskSet) -> Self;
}

impl Mask for String {
    fn masked_by(self, set: &MaskSet) -> Self {
        set.clean_text(self)
    }
}

/// Object keys stay; see [`MaskSet::mask_json`].
impl Mask for Value {
    fn masked_by(self, set: &MaskSet) -> Self {
        set.clean_json(self, false)
    }
}

impl<T: Mask> Mask for Option<T> {
    fn masked_by(self, set: &MaskSet) -> Self {
        self.map(|value| value.masked_by(set))
    }
}

impl<T: Mask> Mask for Vec<T> {
    fn masked_by(self, set: &MaskSet) -> Self {
        self.into_iter().map(|value| value.masked_by(set)).collect()
    }
}
