//! An HTTP/2 client of a few frames (RFC 9113), for what no honest client library does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A connection that was opened with one SETTINGS frame of the test's choice.
pub struct Http2(TcpStream);

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM_AND_HEADERS: u8 = 0x5;

impl Http2 {
    /// Connects, and gives streams so many bytes of room to begin with.
    pub fn connect(address: SocketAddr, initial_window: u32) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        let mut this = Self(stream);
        this.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        // SETTINGS_INITIAL_WINDOW_SIZE is 4.
        this.frame(SETTINGS, 0, 0, &[&[0, 4][..], &initial_window.to_be_bytes()].concat());
        this
    }

    /// Asks `acme.test` for a path. Streams of a client are odd.
    pub fn get(&mut self, stream: u32, path: &str) {
        let literal = |text: &str| [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
        // HPACK (RFC 7541): 2 and 6 of the static table are the method and the scheme, whole; 1 and 4 are names.
        let block = [&[0x82, 0x86, 0x04][..], &literal(path), &[0x01], &literal("acme.test")].concat();
        self.frame(HEADERS, END_STREAM_AND_HEADERS, stream, &block);
    }

    /// Waits until the host has closed the connection.
    pub fn wait_for_close(&mut self) {
        let mut some = [0; 4_096];
        while matches!(self.0.read(&mut some), Ok(1..)) {}
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let frame = [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat();
        self.0.write_all(&frame).unwrap();
    }
}
