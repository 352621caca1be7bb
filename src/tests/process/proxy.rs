//! Behind a real nginx, with the lines from the README.

use std::{fs, net::Ipv6Addr, process::Child};

use rustix::process::{Pid, kill_process};

use super::*;
use crate::util::port::{ReservedPort, await_port};

/// A running nginx. It is killed when it is dropped.
struct Nginx {
    process: Child,
    port: ReservedPort,
    /// `None` if this machine has no IPv6.
    v6: Option<ReservedPort>,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master process ends its workers on this signal, but not on a kill.
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        drop(self.process.wait());
    }
}

/// README's lines for the location in nginx, with this server's address. `.ci/readme` tests the whole block, with its
/// port 443.
fn readme_lines(server: &Server) -> String {
    let readme = include_str!("../../../README.md");
    let block = readme.split("```nginx\n").nth(1).unwrap().split("```").next().unwrap();
    let (start, end) = (block.find("location / {").unwrap(), block.rfind('}').unwrap());
    let lines = &block[start..end];
    assert!(lines.contains("http://127.0.0.1:8000;"), "{lines}");
    lines.replace("127.0.0.1:8000", &server.address.to_string())
}

impl Nginx {
    fn start(folder: &Path, lines: &str) -> Self {
        let port = ReservedPort::new();
        let v6 = ReservedPort::at((Ipv6Addr::LOCALHOST, port.number())).ok();
        let listen_v6 = v6.as_ref().map(|port| format!("listen [::1]:{};", port.number())).unwrap_or_default();
        let place = folder.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {place}/{name};\n")).concat();
        let config = format!(
            "daemon off;\npid {place}/nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}server {{\n\
             listen 127.0.0.1:{};\n{listen_v6}\n{lines}\n}}\n}}\n",
            port.number()
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, config).unwrap();
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists());
        let program = program.expect("nginx is needed: apt-get install nginx-light");
        let errors = fs::File::create(folder.join("nginx.log")).unwrap();
        let mut command = Command::new(program);
        let process = command.arg("-p").arg(folder).arg("-e").arg("stderr").arg("-c").arg(file).stderr(errors).spawn();
        let nginx = Self { process: process.unwrap(), port, v6 };
        await_port(nginx.port.number());
        nginx
    }

    /// Sends the page's login request to an address of this nginx. Returns the status.
    fn log_in(&self, host: &str, site: Option<&str>) -> u16 {
        let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), self.port.number())).unwrap();
        let (port, body) = (self.port.number(), format!(r#"{{"email":"ann","password":"{PASSWORD}"}}"#));
        let site = site.map(|site| format!("sec-fetch-site: {site}\r\n")).unwrap_or_default();
        let head = format!(
            "POST /fn/login HTTP/1.1\r\nhost: {host}:{port}\r\norigin: http://{host}:{port}\r\n{site}connection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        read_answer(stream).0
    }
}

#[test]
fn people_log_in_through_nginx_on_any_port_r72() {
    let (folder, place) = (folder(), self::folder());
    let server = start(folder.path(), &[("VESTIBULE_SERVER_TRUSTED_PROXIES", "127.0.0.1")]);
    server.register();
    let lines = readme_lines(&server);
    let nginx = Nginx::start(place.path(), &lines);
    let hosts = ["localhost", "127.0.0.1", "[::1]"];
    for host in hosts.into_iter().filter(|host| nginx.v6.is_some() || *host != "[::1]") {
        assert_eq!(nginx.log_in(host, Some("same-origin")), 200, "{host}");
        assert_eq!(nginx.log_in(host, None), 200, "{host}, as by a browser that sends no site");
        assert_eq!(nginx.log_in(host, Some("same-site")), 403, "{host}");
    }
    drop(nginx);
    // Many configurations use `$host`, which omits the port.
    let short = lines.replace("$http_host", "$host");
    assert_ne!(short, lines);
    let nginx = Nginx::start(place.path(), &short);
    for host in hosts.into_iter().filter(|host| nginx.v6.is_some() || *host != "[::1]") {
        assert_eq!(nginx.log_in(host, Some("same-origin")), 200, "{host}");
        assert_eq!(nginx.log_in(host, Some("same-site")), 403, "{host}");
    }
    drop(nginx);
    assert!(server.stop().success());
}
