//! The elements of a batch, cut out of a body as it comes: of a JSON array, or of lines that are JSON
//! each. What is in an element is not looked at here, but for where it ends.

/// Cuts a body into elements.
pub(super) struct Elements {
    form: Form,
    state: State,
    /// What has come of the element that is not complete; empty if that is too long.
    element: Vec<u8>,
    is_too_long: bool,
    bytes_max: usize,
    /// Arrays and objects that are open in the element.
    depth: usize,
    text: Text,
}

/// How elements are told from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// They are those of a JSON array.
    Array,
    /// Each is a line.
    Lines,
}

/// What came out of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// The text of an element.
    Whole(Vec<u8>),
    /// One that was longer than is allowed, and is passed over.
    TooLong,
}

/// The body is no array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoArray;

/// Where in an array the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Before,
    First,
    Inside,
    After,
    Next,
    Over,
}

/// Whether the next byte of an element is in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    Escaped,
}

impl Elements {
    /// Of a body of this form, whose elements may have `bytes_max` each.
    pub(super) fn new(form: Form, bytes_max: usize) -> Self {
        Self {
            form,
            state: State::Before,
            element: vec![],
            is_too_long: false,
            bytes_max,
            depth: 0,
            text: Text::Outside,
        }
    }

    /// The next element, of what is left of a piece of the body; `None` once nothing is left of it.
    ///
    /// # Errors
    ///
    /// [`NoArray`] if it is none from here on.
    pub(super) fn next(&mut self, piece: &mut &[u8]) -> Result<Option<Element>, NoArray> {
        while let Some((byte, rest)) = piece.split_first() {
            let is_complete = match self.form {
                Form::Lines => self.line(*byte),
                Form::Array => match self.array(*byte)? {
                    // The byte that ends a number or a word is looked at once more.
                    Step::EndsBefore => return Ok(Some(self.take())),
                    Step::Ends => true,
                    Step::GoesOn => false,
                },
            };
            *piece = rest;
            if is_complete {
                return Ok(Some(self.take()));
            }
        }
        Ok(None)
    }

    /// The last element, if the body ends with one.
    ///
    /// # Errors
    ///
    /// [`NoArray`] if an array has no end.
    pub(super) fn end(&mut self) -> Result<Option<Element>, NoArray> {
        match (self.form, self.state) {
            (Form::Lines, _) => Ok(self.has_some().then(|| self.take())),
            (Form::Array, State::Over) => Ok(None),
            (Form::Array, _) => Err(NoArray),
        }
    }

    /// Whether the line is complete with this byte. An empty one is none.
    fn line(&mut self, byte: u8) -> bool {
        if byte != b'\n' {
            self.keep(byte);
            return false;
        }
        let has_some = self.has_some();
        if !has_some {
            self.element.clear();
        }
        has_some
    }

    fn has_some(&self) -> bool {
        self.is_too_long || !self.element.iter().all(u8::is_ascii_whitespace)
    }

    fn array(&mut self, byte: u8) -> Result<Step, NoArray> {
        let is_space = byte.is_ascii_whitespace();
        match (self.state, byte) {
            (State::Inside, _) => return Ok(self.inside(byte)),
            (_, _) if is_space => {}
            (State::Before, b'[') => self.state = State::First,
            (State::First | State::After, b']') => self.state = State::Over,
            (State::After, b',') => self.state = State::Next,
            (State::First | State::Next, b',' | b']' | b'}') => return Err(NoArray),
            (State::First | State::Next, _) => {
                self.state = State::Inside;
                return Ok(self.inside(byte));
            }
            (State::Before | State::After | State::Over, _) => return Err(NoArray),
        }
        Ok(Step::GoesOn)
    }

    fn inside(&mut self, byte: u8) -> Step {
        let step = match (self.text, byte) {
            (Text::Escaped, _) => {
                self.text = Text::Inside;
                Step::GoesOn
            }
            (Text::Inside, b'\\') => {
                self.text = Text::Escaped;
                Step::GoesOn
            }
            (Text::Inside, b'"') => {
                self.text = Text::Outside;
                self.ends_at(0)
            }
            (Text::Inside, _) => Step::GoesOn,
            (Text::Outside, b'"') => {
                self.text = Text::Inside;
                Step::GoesOn
            }
            (Text::Outside, b'{' | b'[') => {
                self.depth += 1;
                Step::GoesOn
            }
            (Text::Outside, b'}' | b']') if 0 < self.depth => {
                self.depth -= 1;
                self.ends_at(0)
            }
            (Text::Outside, b',' | b']') if self.depth == 0 => {
                self.state = State::After;
                return Step::EndsBefore;
            }
            (Text::Outside, _) => Step::GoesOn,
        };
        self.keep(byte);
        if step == Step::Ends {
            self.state = State::After;
        }
        step
    }

    fn ends_at(&self, depth: usize) -> Step {
        if self.depth == depth { Step::Ends } else { Step::GoesOn }
    }

    fn keep(&mut self, byte: u8) {
        if self.bytes_max <= self.element.len() {
            self.is_too_long = true;
            self.element = vec![];
        }
        if !self.is_too_long {
            self.element.push(byte);
        }
    }

    fn take(&mut self) -> Element {
        let element = std::mem::take(&mut self.element);
        match std::mem::take(&mut self.is_too_long) {
            true => Element::TooLong,
            false => Element::Whole(element),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    GoesOn,
    Ends,
    EndsBefore,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The elements of a body that comes in pieces of so many bytes.
    fn elements(form: Form, body: &str, piece: usize) -> Result<Vec<String>, NoArray> {
        let mut elements = Elements::new(form, 20);
        let mut found = vec![];
        for mut piece in body.as_bytes().chunks(piece) {
            while let Some(element) = elements.next(&mut piece)? {
                found.push(element);
            }
        }
        found.extend(elements.end()?);
        let text = |element| match element {
            Element::Whole(text) => String::from_utf8(text).unwrap(),
            Element::TooLong => "too long".to_owned(),
        };
        Ok(found.into_iter().map(text).collect())
    }

    #[test]
    fn an_array_is_cut_where_its_elements_end_in_whatever_pieces_it_comes() {
        let body = " [ {\"a\":\"]}\\\"\"} , [1,[2]],\"x,y\" ,\t12 ,null]\n";
        let expected = ["{\"a\":\"]}\\\"\"}", "[1,[2]]", "\"x,y\"", "12 ", "null"];
        for piece in 1..body.len() {
            assert_eq!(elements(Form::Array, body, piece).unwrap(), expected, "{piece}");
        }
        for (body, expected) in [("[]", Ok(vec![])), ("[1]", Ok(vec!["1".to_owned()]))] {
            assert_eq!(elements(Form::Array, body, 1), expected);
        }
        for none in ["", "{}", "[1", "[,]", "[1,]", "[1]]", "[1] 2", "[\"a]", "[}", "x"] {
            assert_eq!(elements(Form::Array, none, 1), Err(NoArray), "{none}");
        }
    }

    #[test]
    fn lines_are_elements_and_empty_ones_are_none() {
        for piece in 1..12 {
            let found = elements(Form::Lines, "{\"a\":1}\r\n\n  \nx\nlast", piece).unwrap();
            assert_eq!(found, ["{\"a\":1}\r", "x", "last"], "{piece}");
        }
        assert_eq!(elements(Form::Lines, "", 1).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn one_that_is_too_long_is_passed_over_and_the_next_is_found() {
        let long = "x".repeat(100);
        let body = format!("[\"{long}\",1,\"{}\"]", "y".repeat(18));
        let last = format!("\"{}\"", "y".repeat(18));
        assert_eq!(elements(Form::Array, &body, 7).unwrap(), ["too long", "1", &last]);
        let body = format!("{long}\n1\n{long}");
        assert_eq!(elements(Form::Lines, &body, 7).unwrap(), ["too long", "1", "too long"]);
    }

    proptest! {
        #[test]
        fn every_array_is_cut_into_what_it_was_made_of(
            items in prop::collection::vec("[0-9]{1,3}|\"[a-z,\\]\\[{} ]{0,9}\"|\\{\"a\":\\[1,2\\]\\}", 0..9),
            piece in 1_usize..30,
        ) {
            let body = format!("[{}]", items.join(","));
            prop_assert_eq!(elements(Form::Array, &body, piece).unwrap(), items);
        }

        #[test]
        fn no_body_makes_it_panic(body in "[\\[\\]{},\":\\\\a1 \n]{0,40}", piece in 1_usize..9) {
            let _ = (elements(Form::Array, &body, piece), elements(Form::Lines, &body, piece));
        }
    }
}
