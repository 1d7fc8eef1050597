//! Paging. A marker is the key at which the page before ended, sealed for account, operation and the
//! parameters that choose what is listed.

use crate::error::validation;
use api::{Cx, Error};

const ITEMS_DEFAULT: usize = 100;
const ITEMS_MAX: usize = 1_000;

/// One page of a listing.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) marker: Option<String>,
}

impl<T> Page<T> {
    pub(crate) fn is_truncated(&self) -> Option<bool> {
        Some(self.marker.is_some())
    }
}

/// What a request says about the page that it wants.
pub(crate) struct Pager<'a> {
    cx: &'a Cx,
    place: String,
    after: Option<String>,
    max: usize,
}

impl<'a> Pager<'a> {
    /// `parameters`: those that choose what is listed.
    pub(crate) fn new(
        cx: &'a Cx,
        parameters: &[&str],
        marker: Option<&str>,
        max_items: Option<i32>,
    ) -> Result<Pager<'a>, Error> {
        let place = cx.token_place(parameters);
        let after = match marker {
            None => None,
            Some(marker) => {
                let key = cx.door.open_token(&place, marker);
                Some(key.ok_or_else(|| validation("Invalid Marker."))?)
            }
        };
        let wanted = max_items.and_then(|max| usize::try_from(max).ok());
        let max = wanted.unwrap_or(ITEMS_DEFAULT).clamp(1, ITEMS_MAX);
        Ok(Pager { cx, place, after, max })
    }

    /// Where the page before ended.
    pub(crate) fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// Takes a page from items in the order of their keys. Those up to the marker are passed over.
    pub(crate) fn take<T>(
        &self,
        items: impl IntoIterator<Item = Result<(String, T), Error>>,
    ) -> Result<Page<T>, Error> {
        let mut taken = Vec::new();
        let mut last = String::new();
        for item in items {
            let (key, item) = item?;
            if self.after.as_ref().is_some_and(|after| key <= *after) {
                continue;
            }
            if taken.len() == self.max {
                return Ok(Page {
                    items: taken,
                    marker: Some(self.cx.door.seal_token(&self.place, &last)),
                });
            }
            taken.push(item);
            last = key;
        }
        Ok(Page { items: taken, marker: None })
    }
}
