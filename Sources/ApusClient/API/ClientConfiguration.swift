public import ApusModel
public import Logging

/// How a client behaves. All bounds have defaults that suit a program on the same or a nearby machine.
public struct ClientConfiguration: Sendable {
    public var endpoint: Endpoint
    /// Names this client in the broker's logs. Default: made up by the broker.
    public var clientID: String?
    /// Who logs in; nil for what the endpoint says.
    public var user: String?
    /// nil for what the endpoint says.
    public var password: Secret?
    /// Takes the place of user and password.
    public var token: Secret?
    /// A name that asks for deduplication: after a lost connection the client sends again what was not acknowledged,
    /// and the broker records it once. One client at a time can have a name; the newest one takes it over.
    public var publisher: String?
    /// What is asked for, in seconds; the broker may grant less. 0 asks for the broker's own.
    public var keepAliveSeconds = 30
    /// For one round over all addresses of the host, and the greeting.
    public var connectTimeoutMilliseconds = 10_000
    /// false: a lost connection ends the client. true: it reconnects, with exponential backoff and jitter.
    public var reconnects = true
    /// true: the first connect retries too.
    public var waitsForBroker = false
    /// The first and the longest pause between two attempts to connect; it doubles in between.
    public var backoffMilliseconds: ClosedRange<Int> = 100...10_000
    /// Publishes that are handed over and not acknowledged: payload, topic, headers and a fixed overhead per message, in
    /// bytes. Beyond it `publish` and `enqueue` wait, in the order in which they were called. A single call that
    /// brings more than this waits until nothing else is under way.
    public var unsentBytesMax = 16 << 20
    /// nil: `publish` waits for ever. Else it throws `timed-out` after so long, saying whether the broker does not read
    /// or does not answer.
    public var publishTimeoutMilliseconds: Int?
    /// What is buffered of one subscription or query, in bytes. The client gives the broker credit so that it is not
    /// exceeded; if it is nevertheless, the socket is not read until half of it has been consumed.
    public var receiveBytesMax = 1 << 20
    /// Called while much is sent at once, above all a large message: each time the system has taken another
    /// ``progressBytes`` of it, and at its end, with how many bytes it has taken of how many, the frame's header
    /// included. What it has taken is on its way, not acknowledged. Runs on the client's event loop: it returns at
    /// once. Messages of less than ``progressBytes`` are not told of; after a lost connection it begins anew.
    public var onSendProgress: (@Sendable (_ sentBytes: Int, _ totalBytes: Int) -> Void)?
    public var logger: Logger

    /// How much is sent between two calls of ``onSendProgress``.
    public static let progressBytes = 256 << 10

    public init(endpoint: Endpoint) {
        self.endpoint = endpoint
        self.logger = Logger(label: "apus.client")
    }
}
