import Testing

/// Real processes, through the command line and the socket. One test after the other: they share the machine's cores,
/// and some of them measure.
@Suite("Real processes", .serialized, .timeLimit(.minutes(5)))
enum ProcessTests {}
