//! Does a comment mention the agent? `@label` in any case, with the neighbours that GitHub itself asks for, in text that
//! its author wrote to be read: not in quotes (`> …`), code, HTML comments, image descriptions or link targets.
//!
//! A line directly below a quote that lacks its own `>` belongs to the quote in CommonMark ("lazy continuation"), but was
//! not quoted by the one who wrote it, so a mention there counts.

use std::ops::Range;

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

/// Elements whose text is a quotation or code, also across paragraphs.
const QUIET_BLOCKS: [&str; 2] = ["blockquote", "pre"];
/// The same for an element that ends with its paragraph at the latest.
const QUIET_INLINE: &str = "code";

/// Looks for one name.
#[derive(Debug, Clone)]
pub(crate) struct Mention {
    /// `@openhands`
    name: String,
}

impl Mention {
    /// Looks for `@label`.
    pub(crate) fn of(label: &str) -> Self {
        Self {
            name: format!("@{label}"),
        }
    }

    /// Whether the Markdown text mentions the name.
    pub(crate) fn occurs(&self, markdown: &str) -> bool {
        let mut hits = self.hits(markdown).peekable();
        if hits.peek().is_none() {
            return false;
        }
        let live = Live::of(markdown);
        hits.any(|hit| live.covers(&hit))
    }

    /// Where the name stands in a plain text: no word character or `@` before it, no word character or `-` after it.
    fn hits<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> {
        text.match_indices('@').filter_map(|(at, _)| {
            let end = at + self.name.len();
            let here = text.get(at..end)?;
            let before = text[..at].chars().next_back();
            let after = text[end..].chars().next();
            let free =
                !before.is_some_and(|c| is_word(c) || c == '@') && !after.is_some_and(|c| is_word(c) || c == '-');
            (free && here.eq_ignore_ascii_case(&self.name)).then_some(at..end)
        })
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The parts of a Markdown source that are its author's own text, in order.
#[derive(Default)]
struct Live {
    parts: Vec<Range<usize>>,
    quotes: u32,
    /// Code blocks, images and autolinks that are open.
    quiet: u32,
    /// For each open link, whether it is an autolink.
    links: Vec<bool>,
    html_blocks: u32,
    html_inline: u32,
}

impl Live {
    fn of(markdown: &str) -> Self {
        let mut live = Self::default();
        let options = Options::ENABLE_TABLES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_FOOTNOTES
            | Options::ENABLE_GFM;
        for (event, range) in Parser::new_ext(markdown, options).into_offset_iter() {
            live.take(markdown, event, range);
        }
        live
    }

    fn covers(&self, wanted: &Range<usize>) -> bool {
        self.parts
            .iter()
            .any(|part| part.start <= wanted.start && wanted.end <= part.end)
    }

    fn take(&mut self, source: &str, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.open(source, &tag, range),
            Event::End(tag) => self.close(tag),
            Event::InlineHtml(_) if self.quotes == 0 => self.html(source, range),
            Event::Text(_) if self.quiet == 0 && (self.quotes == 0 || is_lazy(source, range.start)) => self.add(range),
            _ => {}
        }
    }

    fn open(&mut self, source: &str, tag: &Tag<'_>, range: Range<usize>) {
        match tag {
            Tag::BlockQuote(_) => self.quotes += 1,
            Tag::CodeBlock(_) | Tag::Image { .. } => self.quiet += 1,
            Tag::Link { link_type, .. } => {
                let auto = matches!(link_type, LinkType::Autolink | LinkType::Email);
                self.quiet += u32::from(auto);
                self.links.push(auto);
            }
            Tag::HtmlBlock if self.quotes == 0 => self.html(source, range),
            _ => {}
        }
    }

    fn close(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::BlockQuote(_) => self.quotes = self.quotes.saturating_sub(1),
            TagEnd::CodeBlock | TagEnd::Image => self.quiet = self.quiet.saturating_sub(1),
            TagEnd::Link => {
                let auto = self.links.pop().unwrap_or_default();
                self.quiet = self.quiet.saturating_sub(u32::from(auto));
            }
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.html_inline = 0,
            _ => {}
        }
    }

    /// Adds the text between the tags of a piece of HTML.
    fn html(&mut self, source: &str, range: Range<usize>) {
        let mut at = range.start;
        while let Some(rest) = source.get(at..range.end).filter(|rest| !rest.is_empty()) {
            let length = if rest.starts_with("<!--") {
                rest.find("-->").map_or(rest.len(), |end| end + 3)
            } else if is_tag(rest) {
                let length = rest.find('>').map_or(rest.len(), |end| end + 1);
                self.tag(&rest[..length]);
                length
            } else {
                let first = rest.chars().next().map_or(1, char::len_utf8);
                let length = rest[first..].find('<').map_or(rest.len(), |next| next + first);
                self.add(at..at + length);
                length
            };
            at += length;
        }
    }

    fn tag(&mut self, tag: &str) {
        let inner = tag.trim_start_matches('<');
        let closes = inner.starts_with('/');
        let name = inner
            .trim_start_matches('/')
            .split(|c: char| !c.is_ascii_alphanumeric())
            .next()
            .unwrap_or_default();
        let depth = if QUIET_BLOCKS.iter().any(|quiet| name.eq_ignore_ascii_case(quiet)) {
            &mut self.html_blocks
        } else if name.eq_ignore_ascii_case(QUIET_INLINE) {
            &mut self.html_inline
        } else {
            return;
        };
        *depth = if closes { depth.saturating_sub(1) } else { *depth + 1 };
    }

    /// Adds a part unless an HTML quotation or code is open; parts that touch become one.
    fn add(&mut self, part: Range<usize>) {
        if self.html_blocks > 0 || self.html_inline > 0 {
            return;
        }
        match self.parts.last_mut() {
            Some(last) if last.end == part.start => last.end = part.end,
            _ => self.parts.push(part),
        }
    }
}

fn is_tag(html: &str) -> bool {
    html.strip_prefix('<')
        .is_some_and(|inner| inner.starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c)))
}

/// Whether the line of a quoted text at `at` does not itself begin with `>` (list markers aside).
fn is_lazy(source: &str, at: usize) -> bool {
    let line = source[..at].rfind('\n').map_or(0, |end| end + 1);
    let mut rest = source[line..].trim_start_matches([' ', '\t']);
    loop {
        if rest.starts_with('>') {
            return false;
        }
        let after_digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let marker = rest.strip_prefix(['-', '+', '*']).or_else(|| {
            (after_digits.len() < rest.len())
                .then(|| after_digits.strip_prefix(['.', ')']))
                .flatten()
        });
        match marker.filter(|after| after.starts_with([' ', '\t'])) {
            Some(after) => rest = after.trim_start_matches([' ', '\t']),
            None => return true,
        }
    }
}

#[cfg(test)]
mod tests;
