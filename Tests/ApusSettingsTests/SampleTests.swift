import ApusModel
import ApusSettings
import ApusTesting
import Testing

@Suite("config/apus.yaml")
struct SampleTests {
    /// An option without its comment sign: `#name:` and `#- name:`, without a space behind the sign.
    static func uncommented(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            let indentation = line.prefix { $0 == " " }
            let rest = line.dropFirst(indentation.count)
            guard rest.hasPrefix("#"), let next = rest.dropFirst().first, next != " ", next != "#" else {
                return String(line)
            }
            return indentation + String(rest.dropFirst())
        }.joined(separator: "\n")
    }

    @Test("changes nothing as it stands")
    func unchanged() throws {
        var settings = try load(project("config/apus.yaml")).settings
        settings.file = nil
        #expect(settings == Settings())
    }

    @Test("names every option, can be used with all of them, and shows the defaults")
    func everything() throws {
        let text = SampleTests.uncommented(try project("config/apus.yaml"))
        let settings = try load(text).settings
        let defaults = Settings()
        for option in SettingsOption.all where !option.key.hasPrefix("listeners[]") {
            let entry = try #require(settings.entry(option.key), "\(option.key)")
            guard case .file = entry.origin else {
                Issue.record("\(option.key) is missing")
                continue
            }
            // Where there is no default, an example stands there.
            if option.standard == SettingsOption.none || option.key == "event-loops" { continue }
            #expect(entry.value == defaults.entry(option.key)?.value, "\(option.key)")
        }
        for row in Limits.table { #expect(text.contains("\n  \(row.name): "), "\(row.name)") }
    }

    @Test("shows the options of a listener, with their defaults in the first one")
    func listeners() throws {
        let text = SampleTests.uncommented(try project("config/apus.yaml"))
        let settings = try load(text).settings
        let said = Set(settings.entries.filter { $0.origin != .standard && $0.inheritedFrom == nil }.map(\.key))
        for option in SettingsOption.all where option.key.hasPrefix("listeners[]") {
            let isThere = settings.listeners.indices.contains {
                said.contains("listeners[\($0)]" + option.key.dropFirst("listeners[]".count))
            }
            #expect(isThere || text.contains("\n    \(option.name): "), "\(option.key)")
        }
        let first = try #require(settings.listeners.first)
        let standard = try #require(Settings().listeners.first)
        #expect(first.address.value == standard.address.value)
        #expect(settings.listeners[1].address.value == Settings().listeners[1].address.value)
        #expect(first.allow.value.isEmpty && first.deny.value.isEmpty)
        #expect(first.allowsAnonymous.value == standard.allowsAnonymous.value)
        for limit in ListenerLimit.allCases {
            let value = try #require(first.limits[limit]?.value, "\(limit.rawValue)")
            if let row = limit.row { #expect(value == row.value(in: .defaults), "\(limit.rawValue)") }
        }
        #expect(settings.listeners.contains { $0.tls?.clientCertificates.value == ClientCertificates.none })
        #expect(settings.listeners.contains { $0.tls?.clientCA.value != nil })
    }

    @Test("damaged at random is read or refused with a line, and never trapped on", arguments: 0..<4)
    func mutations(_ seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let whole = SampleTests.uncommented(try project("config/apus.yaml"))
        // Without the prose there is more to damage.
        let lines = whole.split(separator: "\n").filter { !$0.drop { $0 == " " }.hasPrefix("#") }
        let bytes = Array(lines.joined(separator: "\n").utf8)
        var refused = 0
        for _ in 0..<300 {
            let damaged = mutate(bytes, &random)
            do throws(SettingsFailure) {
                _ = try load(bytes: damaged)
            } catch {
                refused += 1
                #expect(!error.problems.isEmpty)
                for problem in error.problems {
                    guard case .file(_, let line) = problem.origin else { continue }
                    #expect(line >= 1 && line <= damaged.count + 1)
                }
            }
        }
        #expect(refused > 100)
    }

    private func mutate(_ bytes: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = bytes
        let alphabet = Array("\n\t #:-[]{},&*!|>'\"%@`?\\~<0aé\u{0}\u{FEFF}".utf8) + [0x80, 0xC3, 0xFF]
        for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
            let at = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes[at] = alphabet.randomElement(using: &random) ?? 0
            case 1: bytes.remove(at: at)
            case 2: bytes.insert(alphabet.randomElement(using: &random) ?? 0, at: at)
            case 3: bytes.removeLast(bytes.count - at)
            case 4:
                let end = min(bytes.count, at + Int.random(in: 1...60, using: &random))
                bytes.insert(contentsOf: bytes[at..<end], at: Int.random(in: 0..<bytes.count, using: &random))
            default: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...60, using: &random)))
            }
        }
        return bytes
    }
}
