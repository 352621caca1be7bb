//! Ports for programs that the tests start.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

/// A port on loopback for a program that starts later. Connections to it are refused until the program listens.
///
/// A port that is only looked up can be in use when the program starts. This one stays bound, so the kernel assigns it
/// to nobody else. The program can bind it too, because servers set `SO_REUSEADDR`.
#[derive(Debug)]
pub struct ReservedPort(Socket);

impl ReservedPort {
    pub fn new() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0)).unwrap()
    }

    /// Reserves the port of an address. Port 0 is any port.
    pub fn at(address: impl Into<SocketAddr>) -> io::Result<Self> {
        let address = address.into();
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        Ok(Self(socket))
    }

    pub fn number(&self) -> u16 {
        self.0.local_addr().unwrap().as_socket().unwrap().port()
    }

    /// Accepts connections.
    pub fn listen(self) -> TcpListener {
        self.0.listen(128).unwrap();
        self.0.into()
    }
}

/// Waits until a server listens.
#[expect(clippy::disallowed_methods, reason = "no async thread waits here")]
pub fn await_port(port: u16) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < deadline, "nothing listens on port {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
