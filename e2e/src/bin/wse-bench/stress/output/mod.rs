//! A report as people want it. `table` says what there is to say, once; `text`, `markdown` and `html` lay it
//! out, `plots` draws it.

mod html;
mod markdown;
mod plots;
mod table;
mod text;

pub(super) use self::html::html;
pub(super) use self::markdown::markdown;
pub(super) use self::text::text;
