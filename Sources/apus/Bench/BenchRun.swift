internal import ApusClient
internal import ApusModel
internal import Glibc
internal import NIOCore

/// Publishers and subscribers at full speed, for a while. What happens before and after the window does not count.
struct BenchRun: Sendable {
    let plan: BenchPlan
    let target: BenchTarget

    func measure() async throws -> BenchReport {
        let begin = Nanoseconds.now() + UInt64(plan.warmUpSeconds * 1e9)
        let window = begin..<(begin + UInt64(plan.seconds * 1e9))
        return try await withThrowingTaskGroup(of: Part.self) { group in
            // Subscribers are there before the first message.
            for _ in 0..<plan.subscribers {
                let client = try await target.connect()
                let subscription = try await client.subscribe([plan.filter], from: .now)
                group.addTask { try await follow(client, subscription, window) }
            }
            for publisher in 0..<plan.publishers {
                let client = try await target.connect()
                for lane in 0..<plan.lanes {
                    group.addTask { try await publish(client, publisher, lane, window) }
                }
            }
            var report = BenchReport(plan: plan, target: target.name)
            for try await part in group {
                switch part {
                case .published(let recorder): report.published.add(recorder)
                case .delivered(let recorder): report.delivered.add(recorder)
                }
            }
            return report
        }
    }

    private enum Part: Sendable {
        case published(LatencyRecorder)
        case delivered(LatencyRecorder)
    }

    /// One batch after the other. A message's latency is that of its batch: from handing it over to the last receipt.
    private func publish(
        _ client: ApusClient, _ publisher: Int, _ lane: Int, _ window: Range<UInt64>
    ) async throws -> Part {
        let topic = plan.topic(publisher: publisher)
        let count = plan.batch(lane: lane)
        var recorder = LatencyRecorder()
        while true {
            let start = Nanoseconds.now()
            guard start < window.upperBound, !Task.isCancelled else { break }
            let message = OutgoingMessage(topic: topic, payload: payload(stamp: start), level: plan.level)
            _ = try await client.publish(Array(repeating: message, count: count))
            let end = Nanoseconds.now()
            if window.contains(end) { recorder.record(end - start, count: UInt64(count)) }
        }
        return .published(recorder)
    }

    private func payload(stamp: UInt64) -> ByteBuffer {
        var payload = ByteBuffer()
        payload.reserveCapacity(plan.size)
        if plan.size >= BenchPlan.stampBytes { payload.writeInteger(stamp) }
        payload.writeRepeatingByte(UInt8(ascii: "x"), count: plan.size - payload.readableBytes)
        return payload
    }

    private func follow(
        _ client: ApusClient, _ subscription: Subscription, _ window: Range<UInt64>
    ) async throws -> Part {
        // Where nothing comes any more, nothing would end the loop.
        let end = Task {
            try await Nanoseconds.sleep(until: window.upperBound)
            subscription.cancel()
        }
        defer { end.cancel() }
        var recorder = LatencyRecorder()
        for try await event in subscription {
            guard case .message(let message) = event else { continue }
            let now = Nanoseconds.now()
            guard now < window.upperBound else { break }
            guard now >= window.lowerBound else { continue }
            if let stamp: UInt64 = message.payload.getInteger(at: message.payload.readerIndex), stamp <= now {
                recorder.record(now - stamp, count: 1)
            } else {
                recorder.record(count: 1)
            }
        }
        _ = await client.close()
        return .delivered(recorder)
    }
}

/// The machine's monotonic clock: the same for all processes, so that it tells latencies between them too.
enum Nanoseconds {
    static func now() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    static func sleep(until deadline: UInt64) async throws {
        let now = now()
        if deadline > now { try await Task.sleep(nanoseconds: deadline - now) }
    }
}
