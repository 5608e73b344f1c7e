internal import Glibc

/// Whether the broker can listen where it should.
enum PortCheck {
    struct Place: Hashable, Sendable {
        let host: String
        let port: Int
        /// What names it.
        let option: String

        var text: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host.isEmpty ? "*" : host):\(port)" }
    }

    /// - Parameter broker: the process that runs a broker on the log, if one does.
    static func check(_ places: [Place], broker: Int?) -> [Finding] {
        places.flatMap { place -> [Finding] in
            var hints = addrinfo()
            hints.ai_flags = AI_PASSIVE
            hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
            var list: UnsafeMutablePointer<addrinfo>?
            let code = getaddrinfo(place.host.isEmpty ? nil : place.host, "\(place.port)", &hints, &list)
            guard code == 0 else {
                return [
                    .problem(
                        "port", "\(place.text): \(String(cString: gai_strerror(code)))",
                        "Name an address of this machine with \(place.option).")
                ]
            }
            defer { freeaddrinfo(list) }
            var errors: [Int32] = []
            var next = list
            while let info = next?.pointee {
                errors.append(tryToListen(info))
                next = info.ai_next
            }
            // Of several addresses the first that cannot be had tells.
            return [judge(place, error: errors.first { $0 != 0 } ?? 0, broker: broker)]
        }
    }

    /// - Returns: errno, or 0 where it can be listened on.
    private static func tryToListen(_ info: addrinfo) -> Int32 {
        let descriptor = socket(info.ai_family, info.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return errno }
        defer { close(descriptor) }
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout.size(ofValue: on)))
        if info.ai_family == AF_INET6 {
            setsockopt(
                descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &on, socklen_t(MemoryLayout.size(ofValue: on)))
        }
        guard bind(descriptor, info.ai_addr, info.ai_addrlen) == 0, Glibc.listen(descriptor, 1) == 0 else {
            return errno
        }
        return 0
    }

    static func judge(_ place: Place, error: Int32, broker: Int?) -> Finding {
        switch error {
        case 0 where place.port == 0: return .ok("port", "\(place.text): the system gives a free port")
        case 0: return .ok("port", "\(place.text) is free")
        case EADDRINUSE:
            if let broker { return .ok("port", "\(place.text) is in use; process \(broker) runs a broker on this log") }
            return .problem(
                "port", "\(place.text) is in use by another process",
                "`ss -ltnp 'sport = :\(place.port)'` shows which; or take another with \(place.option).")
        case EACCES:
            return .problem(
                "port", "\(place.text) may not be bound by this user",
                "Ports below 1024 belong to root, or to who has CAP_NET_BIND_SERVICE.")
        case EADDRNOTAVAIL, EAFNOSUPPORT:
            return .problem(
                "port", "\(place.text) is no address of this machine",
                "`ip address` lists them; name another with \(place.option).")
        default:
            return .problem(
                "port", "\(place.text): \(String(cString: strerror(error)))", "Name another with \(place.option).")
        }
    }
}
