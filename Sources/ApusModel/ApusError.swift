/// What went wrong, where, and what to do about it: the error of the wire, the client library and the command line.
///
/// `code` is stable and meant for programs, `message` and `hint` are meant for people and may change.
public struct ApusError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Stable codes, as they stand on the wire. docs/PROTOCOL.md says for each what follows.
    public enum Code: String, Sendable, CaseIterable {
        // The frame: the connection cannot be read any further.
        case malformedFrame = "malformed-frame"
        case malformedHeader = "malformed-header"
        case duplicateField = "duplicate-field"
        case unknownKind = "unknown-kind"
        case headerTooLarge = "header-too-large"
        case messageTooLarge = "message-too-large"
        case frameTimeout = "frame-timeout"
        // The conversation.
        case unsupportedVersion = "unsupported-version"
        case unexpectedFrame = "unexpected-frame"
        case idOrder = "id-order"
        case fenced = "fenced"
        case keepAliveExpired = "keep-alive-expired"
        case goingAway = "going-away"
        case receiveBudget = "receive-budget"
        case busy
        // One request.
        case missingField = "missing-field"
        case invalidField = "invalid-field"
        case invalidTopic = "invalid-topic"
        case invalidFilter = "invalid-filter"
        case invalidEncoding = "invalid-encoding"
        case notSupported = "not-supported"
        case notAllowed = "not-allowed"
        case duplicateSubscription = "duplicate-subscription"
        case unknownSubscription = "unknown-subscription"
        case tooMany = "too-many"
        case queryFailed = "query-failed"
        case noSuchMessage = "no-such-message"
        // The log.
        case storageFull = "storage-full"
        case logBusy = "log-busy"
        case commitUnknown = "commit-unknown"
        case logChanged = "log-changed"
        case logDamaged = "log-damaged"
        case logForeign = "log-foreign"
        case logNewer = "log-newer"
        case logOlder = "log-older"
        case logLocked = "log-locked"
        // The way there, as the client sees it.
        case unavailable = "unavailable"
        case tlsFailed = "tls-failed"
        case timedOut = "timed-out"
        case connectionLost = "connection-lost"
        case backlogFull = "backlog-full"
        case closed = "closed"
        case cancelled = "cancelled"
        case usage = "usage"
        case input = "input-output"
        case internalError = "internal"
    }

    public var code: Code
    /// One sentence: what was wrong, and where.
    public var message: String
    /// What to do about it, or nil where the message says it all.
    public var hint: String?
    /// Whether the connection ends with this error.
    public var isFatal: Bool
    /// Of a publish: it was sent, and may be recorded nevertheless.
    public var isOutcomeUnknown: Bool

    public init(_ code: Code, _ message: String, hint: String? = nil, isFatal: Bool = false) {
        self.code = code
        self.message = message
        self.hint = hint
        self.isFatal = isFatal
        isOutcomeUnknown = code == .commitUnknown
    }

    package static func fatal(_ code: Code, _ message: String, hint: String? = nil) -> ApusError {
        ApusError(code, message, hint: hint, isFatal: true)
    }

    /// For people, on one line.
    package var messageAndHint: String { hint.map { "\(message). \($0)" } ?? message }

    public var description: String {
        hint.map { "\(message) (\(code.rawValue)). \($0)" } ?? "\(message) (\(code.rawValue))"
    }

    /// Whether the same publish may succeed when it is sent again later: storage, commit, busy.
    package var mayPassLater: Bool {
        switch code {
        case .storageFull, .logBusy, .commitUnknown, .fenced, .goingAway, .busy: true
        default: false
        }
    }
}
