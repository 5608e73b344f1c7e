// Watching station 7. Runs on the hub's event loop, when somebody asks for figures. Bounded by slices: between them the
// loop does its work.

extension Hub {
    /// So many cursors are looked at before others get their turn.
    private static let sliceCursors = 4_096

    /// Looks at every connection and cursor of the loop, in slices.
    ///
    /// - Parameter done: called on the loop.
    package func figures(_ done: @escaping @Sendable (LoopFigures) -> Void) {
        var figures = LoopFigures()
        figures.connections = connectionCount
        figures.pausedPublishers = pausedCount
        figures.tailBytes = tailBytes
        look(at: connectionNumbers[...], figures, done)
    }

    private func look(
        at numbers: ArraySlice<UInt64>, _ soFar: LoopFigures, _ done: @escaping @Sendable (LoopFigures) -> Void
    ) {
        var figures = soFar
        var rest = numbers
        let end = figures.cursors + Hub.sliceCursors
        // A connection without cursors is work, too.
        var connectionsLeft = Hub.sliceCursors
        while figures.cursors < end, connectionsLeft > 0, let number = rest.popFirst() {
            connectionsLeft -= 1
            // It may have gone since the slice before.
            guard let connection = connection(number) else { continue }
            let id = ConnectionID(hub: index, number: number)
            figures.receiveBytes += connection.look { figures.add(standing(of: $0, id)) }
        }
        guard !rest.isEmpty else { return done(figures) }
        let (next, sum) = (rest, figures)
        publishers.turns.later { [weak self] in self?.look(at: next, sum, done) }
    }
}
