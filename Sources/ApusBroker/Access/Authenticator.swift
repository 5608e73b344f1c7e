// Before station 3: who is it? Runs on event loops (in, and the answer) and on login threads. In: credentials. Out: an
// identity or a refusal. Bounded by `login-queue` (of those that wait for a thread, and of those that are delayed),
// `login-delay` and `login-records`.

package import ApusModel
package import Logging
internal import NIOConcurrencyHelpers
package import NIOCore

/// Checks what peers say about who they are, for every door: a few at a time, on threads of its own, failures ever more
/// slowly. A flood of logins costs these threads and nothing else.
package final class Authenticator: Sendable {
    package typealias Reply = @Sendable (Result<Identity, ApusError>) -> Void

    /// Logins since the broker began.
    package struct Counts: Sendable, Hashable {
        package var accepted = 0
        /// Wrong in whatever way.
        package var refused = 0
        /// Not looked at: `busy`.
        package var busy = 0
    }

    private struct Job: Sendable {
        let credentials: Credentials
        let key: FailedLogins.Key
        let loop: any EventLoop
        let reply: Reply
        /// Whether its turn was given by what failed before; else nothing had failed yet when it came.
        var hasTurn = false
        var isToken: Bool { credentials.token != nil }
    }

    private struct State {
        var queue: LoginQueue<Job>
        var failures: FailedLogins
        var counts = Counts()
        /// Attempts that wait for their delay to be over, by address.
        var delayed: [String: Int] = [:]
        var delayedCount = 0
    }

    package let access: any AccessControl
    private let workers: WorkerPool
    private let delayedMax: Int
    private let state: NIOLockedValueBox<State>
    private let refusals = OnceAMinute()
    private let busy = OnceAMinute()
    private let logger: Logger

    /// - Parameter workers: the threads that check passwords; they do nothing else.
    package init(access: any AccessControl, workers: WorkerPool, limits: Limits, logger: Logger) {
        self.access = access
        self.logger = logger
        self.workers = workers
        delayedMax = limits.loginQueueMax
        state = NIOLockedValueBox(
            State(
                queue: LoginQueue(countMax: limits.loginQueueMax),
                failures: FailedLogins(
                    recordsMax: limits.loginRecordsMax, delayMax: .seconds(Int64(limits.loginDelaySeconds)))))
    }

    package var counts: Counts { state.withLockedValue { $0.counts } }

    /// Answers on `loop`, once: now, or when a thread had time for it, or when the delay after earlier failures is over.
    package func authenticate(_ credentials: Credentials, on loop: any EventLoop, reply: @escaping Reply) {
        // No name is longer: the records are bounded by their number.
        let user = String(decoding: (credentials.user ?? "").utf8.prefix(255), as: UTF8.self)
        let key = FailedLogins.Key(address: Authenticator.holder(credentials.peerAddress), user: user)
        let job = Job(credentials: credentials, key: key, loop: loop, reply: reply)
        guard [credentials.password, credentials.token].allSatisfy({ $0.map(Authenticator.isShort) ?? true }) else {
            return loop.execute { reply(.failure(Authenticator.tooLong)) }
        }
        // A token cannot be guessed: what fails is a device whose token has expired, and others behind the same address
        // do not wait for that one.
        if job.isToken { enqueue(job) } else { begin(job) }
    }

    private static func isShort(_ secret: Secret) -> Bool { secret.revealed.utf8.count <= Secret.bytesMax }

    private static let tooLong = ApusError.fatal(
        .invalidField, "a password or a token has at most \(Secret.bytesMax) bytes")

    /// Who is slowed for what fails from an address.
    static func holder(_ peerAddress: String) -> String {
        IPAddress(peerAddress.prefix { $0 != "%" })?.holder.description ?? peerAddress
    }

    private func begin(_ job: Job) {
        var job = job
        let verdict = state.withLockedValue { state in
            let verdict = state.failures.attempt(job.key, now: .now())
            job.hasTurn = state.failures.knows(job.key)
            return verdict
        }
        let ready = job
        switch verdict {
        case .begin(let wait) where wait > .zero: delay(ready, by: wait)
        case .begin: enqueue(ready)
        case .tooMany: refuse(ready)
        }
    }

    /// As many may be delayed as may wait for a thread, a quarter of them from one address.
    private func delay(_ job: Job, by wait: TimeAmount) {
        let hasRoom = state.withLockedValue { state in
            let own = state.delayed[job.key.address] ?? 0
            guard state.delayedCount < delayedMax, own < max(1, delayedMax / 4) else { return false }
            state.delayed[job.key.address] = own + 1
            state.delayedCount += 1
            return true
        }
        guard hasRoom else { return giveUp(job) }
        _ = job.loop.scheduleTask(in: wait) {
            self.state.withLockedValue { state in
                let own = state.delayed[job.key.address] ?? 0
                state.delayed[job.key.address] = own > 1 ? own - 1 : nil
                state.delayedCount -= 1
            }
            self.enqueue(job)
        }
    }

    /// The same for doors whose requests are tasks.
    package func authenticate(_ credentials: Credentials, on loop: any EventLoop) async throws(ApusError) -> Identity {
        let result = await withCheckedContinuation { continuation in
            authenticate(credentials, on: loop) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    private func enqueue(_ job: Job) {
        switch state.withLockedValue({ $0.queue.add(job, from: job.key.address) }) {
        case .queued: workers.perform { self.checkNext() }
        case .refused: giveUp(job)
        // The place in the pool's queue is taken over by the new one.
        case .displaced(let other): giveUp(other)
        }
    }

    private func giveUp(_ job: Job) {
        if !job.isToken { state.withLockedValue { $0.failures.gaveUp(job.key) } }
        refuse(job)
    }

    private func refuse(_ job: Job) {
        state.withLockedValue { $0.counts.busy += 1 }
        let error = ApusError.fatal(
            .busy, "too many logins wait to be checked", hint: "Try again in a few seconds.")
        say("a login was not looked at", busy, job.credentials, error.message)
        job.loop.execute { job.reply(.failure(error)) }
    }

    /// On a login thread.
    private func checkNext() {
        guard let job = state.withLockedValue({ $0.queue.next() }) else { return }
        // One of the same user from the same address has failed while this one was queued: it waits as if it came now,
        // or many guesses at once would be as good as many one after the other.
        guard job.isToken || job.hasTurn || !state.withLockedValue({ $0.failures.delays(job.key, now: .now()) }) else {
            return begin(job)
        }
        let result = Result { () throws(ApusError) in try access.authenticate(job.credentials) }
        state.withLockedValue { state in
            switch result {
            case .success:
                if !job.isToken { state.failures.succeeded(job.key) }
                state.counts.accepted += 1
            case .failure:
                if !job.isToken { state.failures.failed(job.key, now: .now()) }
                state.counts.refused += 1
            }
        }
        if case .failure(let error) = result {
            let explanation = error.code == .notAllowed ? access.explain(job.credentials) : nil
            say("a login was refused", refusals, job.credentials, explanation ?? error.message)
        }
        job.loop.execute { job.reply(result) }
    }

    /// Each at info; one a minute at notice, with how many there were since the last: a flood of guesses does not fill
    /// the log.
    private func say(_ what: Logger.Message, _ once: OnceAMinute, _ credentials: Credentials, _ reason: String) {
        let times = once.happened(now: .now())
        var metadata: Logger.Metadata = ["peer": "\(credentials.peerAddress)", "reason": "\(reason)"]
        // Who is nobody here may have written a password or a token into the wrong field.
        if let user = credentials.user, !user.isEmpty, access.identity(of: user) != nil { metadata["user"] = "\(user)" }
        if let name = credentials.certificateName { metadata["certificate"] = "\(name.shown)" }
        if let times, times > 1 { metadata["times"] = "\(times)" }
        logger.log(level: times == nil ? .info : .notice, what, metadata: metadata)
    }
}
