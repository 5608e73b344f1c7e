internal import ApusModel
internal import ArgumentParser

/// What every command's exit code means: the one place. Usage errors of the argument parser exit with `usage` too.
enum ExitStatus: Int32, CaseIterable {
    case done = 0
    case failure = 1
    case nothingMatched = 2
    case partlyDone = 3
    case timedOut = 27
    case usage = 64
    case badData = 65
    case unavailable = 69
    case inputOutput = 74
    case notAllowed = 77
    case interrupted = 130

    init(_ code: ApusError.Code) {
        switch code {
        case .usage, .invalidTopic, .invalidFilter, .invalidField, .missingField: self = .usage
        case .invalidEncoding, .messageTooLarge, .headerTooLarge: self = .badData
        case .unavailable, .connectionLost, .goingAway, .keepAliveExpired, .closed, .logBusy, .logLocked, .busy:
            self = .unavailable
        case .timedOut, .frameTimeout: self = .timedOut
        case .input, .storageFull, .commitUnknown, .logDamaged, .logForeign, .logNewer, .logOlder: self = .inputOutput
        case .notAllowed, .fenced, .tlsFailed: self = .notAllowed
        case .noSuchMessage: self = .nothingMatched
        case .cancelled: self = .interrupted
        case .malformedFrame, .malformedHeader, .duplicateField, .unknownKind, .unsupportedVersion, .unexpectedFrame,
            .idOrder, .receiveBudget, .notSupported, .duplicateSubscription, .unknownSubscription, .tooMany,
            .queryFailed, .logChanged, .backlogFull, .internalError:
            self = .failure
        }
    }

    var exitCode: ExitCode { ExitCode(rawValue) }

    /// For `--help` of the root command.
    static let help = """
        EXIT CODES
          0 done, 1 failure, 2 nothing matched, 3 partly done, 27 timed out, 64 usage,
          65 bad payload or encoding, 69 unavailable, 74 input/output error,
          77 not allowed, 130 interrupted
        """
}
