//! Reads the tree as text and checks what the compiler cannot. `cargo test -p tollgate-tidy` runs it alone.
//!
//! Each check is a function from a [`Tree`](tree::Tree) to problems, each `file:line: what is wrong: how to mend it`.
//! One test of each runs on this repository, the others on small invented trees.

#[cfg(test)]
mod arrows;
#[cfg(test)]
mod cycles;
#[cfg(test)]
mod guests;
#[cfg(test)]
mod lexer;
#[cfg(test)]
mod lock;
#[cfg(test)]
mod manifest;
#[cfg(test)]
mod papers;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod pins;
#[cfg(test)]
mod reach;
#[cfg(test)]
mod tree;
#[cfg(test)]
mod words;
