/// What the list of processes shows of this one.
enum ProcessTitle {
    /// A password in a server's address has been read already: it is blanked where the system shows it. For the moment
    /// before, everybody on the machine could see it.
    static func hidePasswords() {
        for index in 1..<max(1, Int(CommandLine.argc)) {
            guard let argument = CommandLine.unsafeArgv[index] else { continue }
            let bytes = Array(String(cString: argument).utf8)
            for offset in password(in: bytes) { argument[offset] = CChar(UInt8(ascii: "*")) }
        }
    }

    /// Where the password stands in `[scheme://]user:password@host`, with whatever comes before the scheme.
    static func password(in argument: [UInt8]) -> Range<Int> {
        guard let scheme = argument.firstRange(of: Array("://".utf8)), isServer(argument[..<scheme.lowerBound]) else {
            return 0..<0
        }
        let authority = argument[scheme.upperBound...].prefix { $0 != UInt8(ascii: "/") }
        guard let at = authority.lastIndex(of: UInt8(ascii: "@")),
            let colon = authority[..<at].firstIndex(of: UInt8(ascii: ":"))
        else { return 0..<0 }
        return (colon + 1)..<at
    }

    private static func isServer(_ before: ArraySlice<UInt8>) -> Bool {
        // The scheme in whatever case (RFC 3986, 3.1).
        let before = before.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
        return ["apus", "apuss", "apus+unix"].contains { name in
            before.elementsEqual(name.utf8) || before.reversed().starts(with: ("=" + name).utf8.reversed())
                || before.elementsEqual(("-s" + name).utf8)
        }
    }
}
