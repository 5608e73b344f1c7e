internal import ApusModel
internal import ArgumentParser
internal import Glibc

/// A command that ends with an ``ExitStatus``: errors are told on standard error, interrupts end it cleanly.
protocol ClientCommand: AsyncParsableCommand, Sendable {
    var console: Console { get }

    func perform() async throws -> ExitStatus
}

extension ClientCommand {
    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        var status: ExitStatus
        do {
            let command = self
            status = try await Interrupts.cancelling { try await command.perform() }
        } catch let error as ApusError {
            status = Interrupts.isRequested ? .interrupted : ExitStatus(error.code)
            if !Interrupts.isRequested { Console.error(error) }
        } catch is CancellationError {
            status = .interrupted
        }
        if status != .done { throw status.exitCode }
    }
}
