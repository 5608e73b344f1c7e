internal import ApusModel
internal import ApusSecurity
internal import ApusServer
internal import ApusSettings
internal import Logging

/// A part of the running broker that takes changes over without dropping a connection.
///
/// A reload has two steps, so that a bad one changes nothing: every part prepares, and only when all of them could,
/// every part takes over. What has a file of its own is a reload of its own.
struct Reloadable: Sendable {
    /// One line for the log: what is new.
    struct Change: Hashable, Sendable {
        let what: String
        var metadata: Logger.Metadata = [:]
        var level = Logger.Level.notice

        static func == (a: Change, b: Change) -> Bool { a.what == b.what && a.metadata == b.metadata }
        func hash(into hasher: inout Hasher) { hasher.combine(what) }
    }

    /// Takes over what was prepared; it cannot fail.
    typealias TakeOver = @Sendable () -> [Change]

    var file = Gauges.File.configuration
    /// Reads what it needs; changes nothing yet.
    ///
    /// - Throws: why it cannot; then nothing of the reload takes effect.
    let prepare: @Sendable (_ old: Settings, _ new: Settings) async throws(ApusError) -> TakeOver
}

extension Reloadable {
    /// The level and the form of the log.
    static func log(_ control: LogControl) -> Reloadable {
        Reloadable { (old, new) throws(ApusError) in
            {
                control.level = new.logLevel.value
                control.format = new.logFormat.value
                return [
                    change("log.level", old.logLevel.value.rawValue, new.logLevel.value.rawValue),
                    change("log.format", old.logFormat.value.rawValue, new.logFormat.value.rawValue),
                ].compactMap { $0 }
            }
        }
    }

    /// The users and their rights. Who was removed is out, though somebody has left a mistake in another file.
    static func users(_ access: FileAccessControl, _ broker: Broker) -> Reloadable {
        Reloadable(file: .users) { (_, _) throws(ApusError) in
            let users = try access.read()
            return {
                guard access.take(users) else { return [] }
                broker.accessChanged()
                guard access.userCount > 0 else {
                    // By accident, most likely: it takes everybody's rights.
                    return [Change(what: "the users are changed: there are none", level: .warning)]
                }
                return [Change(what: "the users are changed", metadata: ["users": "\(access.userCount)"])]
            }
        }
    }

    /// The certificates of all listeners.
    static func certificates(_ broker: Broker) -> Reloadable {
        Reloadable { (_, _) throws(ApusError) in
            guard let exchange = try await broker.readTLS() else { return { [] } }
            return {
                exchange()
                return [Change(what: "the certificates are changed")]
            }
        }
    }

    private static func change(_ key: String, _ old: String, _ new: String) -> Change? {
        old == new ? nil : Change(what: "\(key) is changed", metadata: ["from": "\(old)", "to": "\(new)"])
    }
}
