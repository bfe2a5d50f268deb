//! Lines for the log.

use std::fmt::{Arguments, Write as _};
use std::io::Write as _;

/// Writes one line to the standard error, which the host keeps as one entry of its structured log, marked with the
/// tenant, the app and the trace id.
///
/// Takes what `format!` takes. Line breaks in the text are written as `\n`, so that one call is one entry whatever
/// the values hold. The host bounds the length of a line and the number of lines; what is above is counted and
/// dropped. A component built for `wasm32-unknown-unknown` has no standard error: there the line goes nowhere.
///
/// ```
/// # let (order, error) = (7, "no such item");
/// tollgate_sdk::log!("order {order} was refused: {error}");
/// ```
#[macro_export]
macro_rules! log {
    ($($argument:tt)*) => {
        $crate::__private::write_line(::core::format_args!($($argument)*))
    };
}

/// In one write, so that lines of concurrent tasks stay whole.
pub fn write_line(text: Arguments<'_>) {
    let mut line = Line(String::new());
    // Neither can fail for a reason that a guest could act on.
    let _ = line.write_fmt(text);
    line.0.push('\n');
    let _ = std::io::stderr().write_all(line.0.as_bytes());
}

struct Line(String);

impl std::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for character in text.chars() {
            match character {
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Line;
    use std::fmt::Write as _;

    #[test]
    fn a_value_with_line_breaks_stays_one_line() {
        let mut line = Line(String::new());
        let order = "7\r\nadmin logged in";
        write!(line, "order {order}").unwrap();
        assert_eq!(line.0, "order 7\\r\\nadmin logged in");
    }
}
