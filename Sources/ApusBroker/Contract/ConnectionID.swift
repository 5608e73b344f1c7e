/// Names a connection across threads: the writer answers to it, the connection's event loop knows what it is.
package struct ConnectionID: Hashable, Sendable {
    /// Which event loop's hub owns the connection.
    package let hub: Int
    package let number: UInt64

    package init(hub: Int, number: UInt64) {
        self.hub = hub
        self.number = number
    }
}
